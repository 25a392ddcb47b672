"""Space files: YAML to checked settings, or one line ``FILE:LINE: KEY: what is wrong; what to write``."""

from __future__ import annotations

import contextlib
import difflib
import importlib.resources
import math
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from hebbevo import user_code
from hebbevo.data import BUILT_IN
from hebbevo.errors import SpaceError, UsageError
from hebbevo.networks import DEFAULT_RULES, FAMILIES, LAYERED, Architecture, largest
from hebbevo.objectives.goal import MEASURES, Goal
from hebbevo.rules import AXES, UNITS, known_knobs
from hebbevo.rules.rule import Need
from hebbevo.samplers import SAMPLERS
from hebbevo.space.genes import (
    MOST_LAYERS,
    ChoiceGene,
    FloatGene,
    Gene,
    GeneError,
    IntGene,
    Repeats,
    Space,
    expanded,
    problems,
    same,
)
from hebbevo.space.knobs import Knob, Value, listed
from hebbevo.spec import duration
from hebbevo.training import KNOBS

KeyPath = tuple[str | int, ...]

TABLES = (".csv", ".parquet")
DATA_FILES = (".npz", *TABLES)
COUNTS = ("neurons", "connections")
"""What survivors may be."""

OPTIONS = {
    "--trials": ("search", "trials"),
    "--timeout": ("search", "timeout"),
    "--seed": ("search", "seed"),
    "--sampler": ("search", "sampler"),
    "--population": ("search", "population"),
    "--replicates": ("search", "replicates"),
    "--epochs": ("task", "epochs"),
    "--data": ("task", "dataset"),
    "--target": ("task", "target"),
    "--halving": ("search", "halving"),
    "--precision": ("task", "precision"),
}
"""Where each command-line option that overrides the file stands in it."""

LARGEST = 2**63 - 1  # what SQLite can hold
DEEPEST = 20


# --- what a file may say; a field's description is what to write there ---


def _usable(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool | str) or (isinstance(value, int) and abs(value) <= LARGEST)


def _scalar(value: Any) -> Any:
    if not _usable(value):
        raise PydanticCustomError("scalar", "no scalar")
    return value


def _number(value: Any) -> Any:
    if not _usable(value) or isinstance(value, bool | str):
        raise PydanticCustomError("number", "no number")
    return value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _allowed(value: Any) -> tuple[Value, ...]:
    return tuple(map(_scalar, value if isinstance(value, list | tuple) else [value]))


def _count(value: Any) -> Any:
    count = _whole(value)
    if isinstance(count, str) or (type(count) is int and 1 <= count <= MOST_LAYERS):
        return count
    raise PydanticCustomError("count", "no count")


def _code(value: Any) -> str:
    if not isinstance(value, str) or not user_code.is_reference(value):
        raise PydanticCustomError("code", "no code")
    return value


def _seconds(value: Any) -> float:
    try:
        return duration.seconds(value)
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("duration", "no length of time") from error


# serialised as they are: left to pydantic, the 5 of a union with float becomes 5.0
Number = Annotated[float, PlainValidator(_number), PlainSerializer(_number)]
Scalar = Annotated[Value, PlainValidator(_scalar), PlainSerializer(_scalar)]
Whole = Annotated[int, BeforeValidator(_whole)]
Seconds = Annotated[float, PlainValidator(_seconds)]
Width = Annotated[Whole, Field(ge=1, le=100_000)]
Allowed = Annotated[tuple[Value, ...], PlainValidator(_allowed), PlainSerializer(list)]
When = Annotated[
    dict[str, Allowed],
    Field(description="{gene: value} or {gene: [value, value]} with the values other genes must have"),
]
Count = Annotated[str | int, PlainValidator(_count), PlainSerializer(_count)]
Repeat = Annotated[
    Count | None,
    Field(description=f"depth, or the number of hidden layers, a whole number from 1 to {MOST_LAYERS}"),
]


_CODE = "package.module:name"
Code = Annotated[str, PlainValidator(_code)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Task(_Model):
    """What is learned, and for how long."""

    dataset: str = Field(
        description=f"the name of a data set, a path that ends in .npz, .csv or .parquet, or {_CODE}"
    )
    target: str | None = Field(default=None, description="the name of the column to predict")
    epochs: Whole = Field(default=20, ge=1, description="a whole number of 1 or more")
    batch_size: Whole = Field(default=64, ge=1, description="a whole number of 1 or more")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="float32 or bfloat16")
    loss: Code | None = Field(default=None, description=f"{_CODE} of a function (outputs, labels)")
    score: Code | None = Field(default=None, description=f"{_CODE} of a function (outputs, labels)")


class Network(_Model):
    """The network before pruning; ``settings`` fixes knobs that are not searched.

    It is of one of hebbevo's families, or what the function ``module`` builds.
    """

    module: Code | None = Field(default=None, description=f"{_CODE} of a function that builds a network")
    family: str = Field(default="mlp", description="the name of a family")
    channels: tuple[Width, ...] = Field(
        default=(),
        strict=False,
        description="the channels of the convolutions, each from 1 to 100000, as in [16, 32]",
    )
    hidden: tuple[Width, ...] = Field(
        default=(128, 128),
        strict=False,
        description="the widths of the hidden layers, each from 1 to 100000, as in [128, 128]",
    )
    units: str = Field(default=DEFAULT_RULES["units"], description="the name of a rule for units")
    connections: str = Field(
        default=DEFAULT_RULES["connections"], description="the name of a rule for connections"
    )
    credit: str = Field(default=DEFAULT_RULES["credit"], description="the name of a rule for credit")
    count: str = Field(default="neurons", description="neurons or connections")
    settings: dict[str, Scalar] = Field(
        default={}, description="knobs with a number, text, true or false each"
    )
    inputs: bool = Field(default=False, description="true or false")

    def architecture(self, shape: tuple[int, ...], classes: int) -> Architecture:
        """The network of the family, for rows of this shape."""
        return Architecture(
            self.family,
            self.hidden,
            self.units,
            self.inputs,
            shape,
            classes,
            self.channels,
            self.connections,
            self.credit,
        )


class Search(_Model):
    """How the genomes are proposed; ``population`` is the size of a generation."""

    sampler: str = Field(default="surrogate", description="the name of a sampler")
    population: Whole = Field(default=50, ge=4, description="a whole number of 4 or more")
    trials: Whole = Field(default=500, ge=1, description="a whole number of 1 or more")
    timeout: Seconds | None = Field(
        default=None, description="seconds above 0, or a text as in 90s, 10m, 2h, 1h30m"
    )
    replicates: Whole = Field(default=1, ge=1, description="a whole number of 1 or more")
    cohort_width: Whole | None = Field(default=None, ge=1, description="a whole number of 1 or more")
    threads: Whole = Field(default=1, ge=1, description="a whole number of 1 or more")
    halving: bool = Field(default=False, description="true or false")
    seed: Whole = Field(default=0, ge=0, le=2**31 - 1, description=f"a whole number from 0 to {2**31 - 1}")
    settings: dict[str, Scalar] = Field(
        default={}, description="settings with a number, text, true or false each"
    )


class _Sparse(_Model):
    """A mapping whose keys are there only where they are given; nothing stands for them."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_given(cls, value: Any) -> Any:
        if value is None:
            raise PydanticCustomError("nothing", "nothing")
        return value

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class Weights(_Sparse):
    """How much each measure counts in the one number to maximise."""

    accuracy: Number | None = Field(default=None, description="a finite number")
    survivors: Number | None = Field(default=None, description="a finite number")

    @model_validator(mode="after")
    def _weigh_something(self) -> Self:
        if not self.accuracy and not self.survivors:
            what = "no measure has a weight other than 0; write one, as in {accuracy: 1.0, survivors: -0.001}"
            raise _misfit((), what)
        return self


class Objectives(_Sparse):
    """What is improved: both measures for their trade-off, one of them, or a weighted sum."""

    accuracy: Literal["maximize"] | None = Field(default=None, description="maximize")
    survivors: Literal["minimize"] | None = Field(default=None, description="minimize")
    weighted: Weights | None = Field(
        default=None, description="{measure: weight}, as in {accuracy: 1.0, survivors: -0.001}"
    )

    @model_validator(mode="after")
    def _are_something(self) -> Self:
        if not (self.accuracy or self.survivors or self.weighted):
            what = "there is none; write accuracy: maximize, survivors: minimize, or both"
            raise _misfit((), what)
        if self.weighted and (self.accuracy or self.survivors):
            raise _misfit(("weighted",), "is the only objective where it stands; drop it, or the others")
        return self


class Limits(_Sparse):
    """The range that a measure must keep to."""

    min: Number | None = Field(default=None, description="a finite number")
    max: Number | None = Field(default=None, description="a finite number")

    @model_validator(mode="after")
    def _are_a_range(self) -> Self:
        if self.min is None and self.max is None:
            raise _misfit((), "there is no bound; write min, max, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            what = f"{self.max} is below min, which is {self.min}; write a larger max or a smaller min"
            raise _misfit(("max",), what)
        return self


class Constraints(_Sparse):
    """What a trial must keep to."""

    accuracy: Limits | None = Field(default=None, description="{min: ..., max: ...}, or one of the two")
    survivors: Limits | None = Field(default=None, description="{min: ..., max: ...}, or one of the two")

    @model_validator(mode="after")
    def _are_in_reach(self) -> Self:
        for measure, limits in self.given().items():
            for bound, value in (("min", limits.min), ("max", limits.max)):
                if value is not None and (value < 0 or (measure == "accuracy" and value > 1)):
                    write = "of 0 or more" if measure == "survivors" else "from 0 to 1"
                    raise _misfit((measure, bound), f"{value} is out of reach; write a number {write}")
        return self

    def given(self) -> dict[str, Limits]:
        """The limits of every measure that has some."""
        limits = {measure: getattr(self, measure) for measure in MEASURES}
        return {measure: range_ for measure, range_ in limits.items() if range_ is not None}


def _misfit(path: KeyPath, what: str) -> PydanticCustomError:
    """What is wrong between the keys of a mapping, and where inside it."""
    return PydanticCustomError("misfit", "misfit", {"path": path, "what": what})


class _GeneModel(_Model):
    def gene(self, name: str) -> Gene:
        raise NotImplementedError

    def misfits(self, knob: Knob) -> Iterator[tuple[KeyPath, str]]:
        raise NotImplementedError

    @model_validator(mode="after")
    def _is_a_gene(self) -> Self:
        try:
            self.gene("gene")
        except GeneError as error:
            raise _misfit(error.path, error.what) from error
        return self


class Range(_GeneModel):
    """A gene that is a number from ``low`` to ``high``."""

    low: Number = Field(description="the smallest value, a finite number")
    high: Number = Field(description="the largest value, a finite number")
    log: bool = Field(default=False, description="true or false")
    type: Literal["float", "int"] = Field(default="float", description="float or int")
    step: Whole | None = Field(default=None, description="a whole number of 1 or more")
    when: When = {}
    repeat: Repeat = None

    def gene(self, name: str) -> Gene:
        """The gene under this name.

        Raises:
            GeneError: for an impossible range.
        """
        when = tuple(self.when.items())
        if self.type == "float":
            if self.step is not None:
                raise GeneError(
                    name, ("step",), "only whole numbers have a step; write type: int, or drop it"
                )
            return FloatGene(name, self.low, self.high, self.log, when)
        for bound in ("low", "high"):
            if (value := getattr(self, bound)) % 1:
                what = f"{value} is not a whole number; write one, or type: float"
                raise GeneError(name, (bound,), what)
        step = 1 if self.step is None else self.step
        return IntGene(name, int(self.low), int(self.high), step, self.log, when)

    def misfits(self, knob: Knob) -> Iterator[tuple[KeyPath, str]]:
        """Yield where and why this range does not suit the knob."""
        if knob.choices:
            yield (), f"a choice has no range; write {{choices: [{listed(knob.choices)}]}}"
        elif knob.kind is int and self.type != "int":
            yield ("type",), "this knob is a whole number; write type: int"
        else:
            for bound in ("low", "high"):
                if what := knob.problem(getattr(self, bound)):
                    yield (bound,), what


class Choices(_GeneModel):
    """A gene that is one of ``choices``."""

    choices: tuple[Scalar, ...] = Field(
        min_length=1, strict=False, description="a list of numbers, texts, true or false, as in [mean, ratio]"
    )
    when: When = {}
    repeat: Repeat = None

    def gene(self, name: str) -> Gene:
        """The gene under this name.

        Raises:
            GeneError: for equal choices.
        """
        return ChoiceGene(name, self.choices, tuple(self.when.items()))

    def misfits(self, knob: Knob) -> Iterator[tuple[KeyPath, str]]:
        """Yield where and why a choice does not suit the knob."""
        for i, choice in enumerate(self.choices):
            if what := knob.problem(choice):
                yield ("choices", i), what


def _kind(gene: object) -> str | None:
    if isinstance(gene, _GeneModel):
        return type(gene).__name__
    return ("Choices" if "choices" in gene else "Range") if isinstance(gene, Mapping) else None


GENES: dict[str, type[Range] | type[Choices]] = {"Range": Range, "Choices": Choices}
PARTS: dict[KeyPath, type[_Model]] = {
    ("task",): Task,
    ("network",): Network,
    ("search",): Search,
    ("objectives",): Objectives,
    ("objectives", "weighted"): Weights,
    ("constraints",): Constraints,
    ("constraints", "accuracy"): Limits,
    ("constraints", "survivors"): Limits,
}


class Spec(_Model):
    """Everything a space file says, with the defaults filled in; equal specs make equal searches."""

    version: Literal[1] = Field(description="version: 1")
    name: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$",
        description="a name of at most 100 letters, digits, and _ - . after the first",
    )
    task: Task = Field(description="a mapping, as in {dataset: digits}")
    network: Network = Field(default=Network(), description="a mapping, as in {hidden: [128, 128]}")
    search: Search = Field(default=Search(), description="a mapping, as in {trials: 500}")
    objectives: Objectives = Field(
        default=Objectives(accuracy="maximize", survivors="minimize"),
        description="a mapping, as in {accuracy: maximize, survivors: minimize}",
    )
    constraints: Constraints = Field(
        default=Constraints(), description="a mapping, as in {survivors: {max: 40}}"
    )
    genome: dict[
        str,
        Annotated[
            Annotated[Range, Tag("Range")] | Annotated[Choices, Tag("Choices")],
            Discriminator(_kind),
        ],
    ] = Field(
        min_length=1,
        description="{low: ..., high: ...} or {choices: [...]} under the name of each knob to search",
    )

    @property
    def code(self) -> list[str]:
        """What of the user's code it names, as ``package.module:name``."""
        named = (self.network.module, self.task.dataset, self.task.loss, self.task.score)
        return [name for name in named if name is not None and user_code.is_reference(name)]

    @cached_property
    def space(self) -> Space:
        """The search space, its genes in the order of the file, repeated ones layer by layer."""
        return Space(expanded(*_genes(self.genome)))

    @cached_property
    def goal(self) -> Goal:
        """What the search is for."""
        objectives, weighted = self.objectives.model_dump(), self.objectives.weighted
        return Goal(
            objectives=tuple(measure for measure in MEASURES if weighted or measure in objectives),
            weights=weighted.model_dump() if weighted else {},
            constraints={name: (limits.min, limits.max) for name, limits in self.constraints.given().items()},
        )

    def override(
        self,
        *,
        trials: int | None = None,
        timeout: float | str | None = None,
        seed: int | None = None,
        sampler: str | None = None,
        population: int | None = None,
        replicates: int | None = None,
        epochs: int | None = None,
        dataset: str | None = None,
        target: str | None = None,
        halving: bool | None = None,
        precision: str | None = None,
    ) -> Spec:
        """Replace what is given and keep what is ``None``; another sampler starts from its own settings.

        Raises:
            SpaceError: for a value the file could not hold either; it names the option.
        """
        values: dict[str, float | str | bool | None] = {
            "--trials": trials,
            "--timeout": timeout,
            "--seed": seed,
            "--sampler": sampler,
            "--population": population,
            "--replicates": replicates,
            "--epochs": epochs,
            "--data": dataset,
            "--target": target,
            "--halving": halving,
            "--precision": precision,
        }
        raw = self.to_json()
        if sampler not in (None, self.search.sampler):
            raw["search"]["settings"] = {}  # they were the other sampler's
        for option, value in values.items():
            if value is not None:
                part, key = OPTIONS[option]
                raw[part][key] = value
        options: dict[KeyPath, str] = {
            path: option for option, path in OPTIONS.items() if option != "--data" or dataset is not None
        }
        for problem in (*_structure(raw), *_meaning(raw)):
            raise SpaceError(_one_line(f"{options.get(problem.path, _key(problem.path))}: {problem.what}"))
        return Spec.model_validate(raw)

    def to_json(self) -> dict[str, Any]:
        """Give the spec, defaults and all, as plain data for JSON, in the order of the file."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, data: object) -> Spec:
        """Build the spec that ``to_json`` gave, whatever rules and samplers are installed.

        Raises:
            SpaceError: if it is not one.
        """
        for problem in _structure(data):
            raise SpaceError(_one_line(f"{_key(problem.path)}: {problem.what}"))
        return cls.model_validate(data)


# --- the public functions ---


def read(where: str | Path) -> Spec:
    """Read and check a space file.

    Args:
        where: a path, or the name of a shipped space with or without ``.yaml``.

    Raises:
        SpaceError: with the first problem by line.
    """
    path = _find(where)
    document = _load(path)
    found = [
        *document.problems,
        *_single_rule_genes(document.data),
        *_structure(document.data),
        *_meaning(document.data),
    ]
    if found:
        first = min(found, key=document.line)
        raise _error(path, document.line(first), _key(first.path), first.what)
    return Spec.model_validate(document.data)


def shipped() -> dict[str, Path]:
    """Find the space files that come with hebbevo, by name without ``.yaml``."""
    package = Path(str(importlib.resources.files("hebbevo")))
    inside = package / "search_spaces"  # where the wheel has them; a checkout has them beside the package
    folder = inside if inside.is_dir() else package.parent / "search_spaces"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def difference(
    recorded: Spec, now: Spec, ignoring: Collection[str] = ("search.trials", "search.timeout")
) -> list[str]:
    """Say in which settings two specs differ, as ``search.seed: 0 in the study, 1 here``.

    Args:
        recorded: the spec in the study.
        now: the spec asked for.
        ignoring: dotted settings that may differ.
    """
    old, new = _leaves(recorded.to_json()), _leaves(now.to_json())
    found = [
        f"{key}: {_shown(old.get(key))} in the study, {_shown(new.get(key))} here"
        for key in {**old, **new}
        if key not in ignoring and not _equal(old.get(key), new.get(key))
    ]
    orders = [listed(list(spec.genome)) for spec in (recorded, now)]
    if not found and orders[0] != orders[1]:  # the order of the genes is the order of the axes
        found.append(f"genome: in the order {orders[0]} in the study, {orders[1]} here")
    return found


# --- finding and parsing ---


@dataclass(frozen=True)
class _Problem:
    path: KeyPath
    what: str
    line: int | None = None


@dataclass
class _Document:
    """A file as plain data, the line of every key and item, and what is wrong with its YAML."""

    data: object = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[_Problem] = field(default_factory=list)

    def line(self, problem: _Problem) -> int:
        """The line of the problem, or of the innermost mapping around it that stands in the file."""
        if problem.line is not None:
            return problem.line
        path = problem.path
        return next(self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines)


class _Loader(yaml.SafeLoader):
    """Plain settings: 1e-5 is a number, a date is text, and there are no aliases."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [
            (tag, form) for tag, form in forms if tag.rpartition(":")[2] in ("bool", "int", "float", "null")
        ]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="no aliases here", problem_mark=mark)
        if self._depth == DEEPEST:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _find(where: str | Path) -> Path:
    if os.path.exists(where):
        return Path(where)
    known = shipped()
    name = str(where).removesuffix(".yaml")
    if name not in known:
        what = f"there is no such file; write a path to a space file, or one of {listed(list(known))}"
        raise SpaceError(_one_line(f"{where}: {what}"))
    return known[name]


def _load(path: Path) -> _Document:
    try:
        content = path.read_bytes()
    except IsADirectoryError as error:
        raise _error(path, 1, "file", "this is a directory; write the path of a file in it") from error
    except OSError as error:
        raise _error(path, 1, "file", f"cannot be read ({error.strerror}); write another path") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _error(path, line, "file", "this is not UTF-8 text; save the file as UTF-8") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"the character {chr(error.character)!r} cannot stand in YAML; remove it"
        raise _error(path, line, "yaml", what) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = f"this is not YAML ({error.problem or error.context}); write key: value lines, evenly indented"
        raise _error(path, mark.line + 1 if mark else 1, "yaml", what) from error
    if node is None:
        raise _error(path, 1, "file", "this is empty; write version, name, task and genome")
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise _error(path, line, "file", "this is not a mapping; write version, name, task and genome")
    document = _Document()
    document.data = _plain(loader, node, (), line, document)
    return document


def _plain(loader: _Loader, node: yaml.Node, path: KeyPath, line: int, document: _Document) -> object:
    """Turn a node into plain data and note the lines and problems of everything under it."""
    document.lines[path] = line
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        data: dict[str, object] = {}
        for key, value in node.value:
            at = (*path, str(key.value) if isinstance(key, yaml.ScalarNode) else "?")
            key_line = key.start_mark.line + 1
            if key.tag != "tag:yaml.org,2002:str":
                what = "a key is text; write a name, in quotes if need be"
                document.problems.append(_Problem(at, what, key_line))
            elif key.value in data:
                what = f"stands here twice, first on line {document.lines[at]}; drop one"
                document.problems.append(_Problem(at, what, key_line))
            else:
                data[key.value] = _plain(loader, value, at, key_line, document)
        return data
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [
            _plain(loader, item, (*path, i), item.start_mark.line + 1, document)
            for i, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.ScalarNode) and node.tag in loader.yaml_constructors:
        try:
            value = loader.construct_object(node)
            if isinstance(value, int) and not _usable(value):
                raise ValueError(value)
            return value
        except (yaml.MarkedYAMLError, ValueError, KeyError):
            document.problems.append(_Problem(path, f"{_shown(node.value)} cannot be read; write it plainly"))
            return node.value
    document.problems.append(_Problem(path, f"the tag {node.tag} has no use here; drop it"))
    return None


# --- checking ---

WHAT = {
    "missing": "missing",
    "int_type": "is not a whole number",
    "bool_type": "is not true or false",
    "string_type": "is not text",
    "string_pattern_mismatch": "cannot name a file",
    "tuple_type": "is not a list",
    "dict_type": "is not a mapping",
    "model_type": "is not a mapping",
    "union_tag_not_found": "is not a gene",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
    "literal_error": "is not known",
    "too_short": "is empty",
    "number": "is not a finite number",
    "duration": "is not a length of time",
    "scalar": "is not a number, text, true or false",
    "code": "does not name code",
    "count": "does not count layers",
}


def _structure(raw: object) -> list[_Problem]:
    """Find what is wrong without looking at what is installed: keys, types, ranges, conditions."""
    if not isinstance(raw, Mapping):
        return [_Problem(("file",), f"{_shown(raw)} is not a mapping; write version, name, task and genome")]
    try:
        Spec.model_validate(raw)
        found = []
    except ValidationError as error:
        found = [_translated(details) for details in _telling(error.errors())]
    sound = _sound_genes(raw)
    genes, repeats = _genes(sound)
    unsound = _mapping(raw, "genome").keys() - sound.keys()
    for problem in problems(genes, repeats):
        if unsound.isdisjoint({repeats.get(problem.gene), *problem.path}):
            found.append(_Problem(("genome", problem.gene, *problem.path), problem.what))
    return found


def _telling(errors: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Drop a missing key that stands there misspelt, and an emptiness that follows from another error."""
    unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    for error in errors:
        misspelt = error["type"] == "missing" and any(
            loc[:-1] == error["loc"][:-1] and _close(loc[-1], [error["loc"][-1]]) for loc in unknown
        )
        if not misspelt and not (error["type"] == "too_short" and error["input"]):
            yield error


def _translated(error: ErrorDetails) -> _Problem:
    loc, kind = error["loc"], error["type"]
    path, inside = loc, loc
    model: type[_Model] = Spec
    if parts := [part for part in PARTS if part == loc[: len(part)] and part != loc]:
        model, inside = PARTS[parts[-1]], loc[len(parts[-1]) :]
    elif loc[0] == "genome" and len(loc) > 2:  # pydantic puts the kind of the gene after its name
        model, inside, path = GENES[str(loc[2])], loc[3:], loc[:2] + loc[3:]
    if kind == "misfit":
        return _Problem(path + error["ctx"]["path"], error["ctx"]["what"])
    if path == ("network", "rule"):
        return _Problem(path, _single_rule(error["input"]))
    if kind == "extra_forbidden":
        return _Problem(path, _unknown(path[-1], "a key here", model.model_fields))
    field_ = model.model_fields[str(inside[0])]
    if kind == "missing":
        what = "missing"
    elif error["input"] is None:
        what = "has no value"
    else:
        what = f"{_shown(error['input'])} {WHAT.get(kind, 'cannot be used')}"
    return _Problem(path, f"{what}; write {field_.description}")


def _meaning(raw: object) -> list[_Problem]:
    """Find what nothing installed can use: names and numbers in any sound part, then what fits no network."""
    found = list(_names(raw))
    if found or _structure(raw):
        return found
    spec = Spec.model_validate(raw)
    return [] if spec.network.module else list(_unfit(spec)) or list(_widthless(spec))


def _names(raw: object) -> Iterator[_Problem]:
    sampler = _mapping(raw, "search").get("sampler", Search().sampler)
    if isinstance(sampler, str) and sampler not in SAMPLERS:
        yield _Problem(("search", "sampler"), _unknown(sampler, "a sampler", SAMPLERS))
    elif isinstance(sampler, str):
        known = _by_name(SAMPLERS[sampler].knobs)
        yield from _setting_problems(raw, "search", f"a setting of {sampler}", known)
    task = _mapping(raw, "task")
    yield from _data_problems(task, BUILT_IN)
    for key in ("loss", "score"):
        yield from _code_problems(("task", key), task.get(key))
    count = _mapping(raw, "network").get("count")
    if isinstance(count, str) and count not in COUNTS:
        yield _Problem(("network", "count"), _unknown(count, "what can be counted", COUNTS))
    module = _mapping(raw, "network").get("module")
    yield from _family_problems(raw) if module is None else _module_problems(raw, module)


Known = Mapping[str, Sequence[Knob]]
"""What may be set: the knobs of a name, each of which must have a value that it can use."""


def _by_name(*tables: Mapping[str, Knob]) -> dict[str, list[Knob]]:
    """The knobs of all tables; those of one name are one to the space, whose value goes to each."""
    found: dict[str, list[Knob]] = {}
    for knobs in tables:
        for name, knob in knobs.items():
            found.setdefault(name, []).append(knob)
    return found


def _family_problems(raw: object) -> Iterator[_Problem]:
    network, genes = _mapping(raw, "network"), _sound_genes(raw)
    family = network.get("family", Network().family)
    fixed = {axis: network.get(axis, DEFAULT_RULES[axis]) for axis in AXES}
    if isinstance(family, str) and family not in FAMILIES:
        yield _Problem(("network", "family"), _unknown(family, "a family", FAMILIES))
    for axis, name in fixed.items():
        if isinstance(name, str) and name not in AXES[axis]:
            yield _Problem(("network", axis), _unknown(name, f"a rule for {axis}", AXES[axis]))
    rules = {
        axis: [
            each[name] for name in _rules(axis, fixed[axis], genes) if isinstance(name, str) and name in each
        ]
        for axis, each in AXES.items()
    }
    if all(rules.values()) and isinstance(family, str) and family in FAMILIES:
        having = [rule for those in rules.values() for rule in those if rule.knobs]
        noun = f"a knob of {' or '.join(dict.fromkeys(rule.name for rule in having))}"
        settable = _by_name(*(rule.knobs for rule in having), KNOBS)
        yield from _setting_problems(raw, "network", noun, settable)
        yield from _gene_problems(raw, noun, {**settable, **_by_name(FAMILIES[family].knobs)}, LAYERED)


_SINGLE_RULES = {
    "stamina": {"units": "stamina"},
    "hebb_mask": {"units": "dense", "connections": "hebb_mask"},
    "dense": {"units": "dense"},
}
"""The rules of before there were axes, as they are written now."""
_NO_SINGLE_RULE = "units, connections and credit have a rule each"


def _single_rule(name: object) -> str:
    """What to write for the one rule that a network had."""
    now = _SINGLE_RULES.get(str(name), {"units": f"RULE, one of {listed(list(AXES['units']))}"})
    return f"{_NO_SINGLE_RULE}; write {', '.join(f'{axis}: {rule}' for axis, rule in now.items())}"


def _single_rule_genes(raw: object) -> Iterator[_Problem]:
    """Find what is written of the one rule that a network had, in the genome of a family's network."""
    if _mapping(raw, "network").get("module") is not None:
        return
    genome = _mapping(raw, "genome")
    if "rule" in genome:
        choices = _listed_values(_mapping(genome, "rule").get("choices"))
        yield _Problem(("genome", "rule"), f"{_NO_SINGLE_RULE}; write {_rule_genes(choices)}")
    for name in genome:
        when = _mapping(genome, name, "when")
        if "rule" in when:
            what = f"{_NO_SINGLE_RULE}; write {_rule_condition(_listed_values(when['rule']))}"
            yield _Problem(("genome", name, "when", "rule"), what)


def _rule_genes(choices: Sequence[str]) -> str:
    rules = [_SINGLE_RULES.get(name, {}) for name in choices]
    units = listed(list(dict.fromkeys(each["units"] for each in rules if each)))
    if not units or not all(rules):
        return "a gene for each that is searched, as in units: {choices: [stamina, dense]}"
    if "hebb_mask" not in choices:
        return f"a gene units: {{choices: [{units}]}}"
    masks = listed([each.get("connections", "full") for each in rules if each["units"] == "dense"])
    if units == "dense":
        return f"units: dense in network, and a gene connections: {{choices: [{masks}]}}"
    connections = f"connections: {{choices: [{masks}], when: {{units: dense}}}}"
    return f"genes units: {{choices: [{units}]}} and {connections}"


def _rule_condition(names: Sequence[str]) -> str:
    axes = {"connections" if name == "hebb_mask" else "units" for name in names}
    if len(axes) != 1 or not _SINGLE_RULES.keys() >= set(names):
        return "a condition on units or connections, as in when: {units: stamina}"
    value = names[0] if len(names) == 1 else f"[{listed(names)}]"
    return f"when: {{{axes.pop()}: {value}}}"


def _listed_values(value: object) -> list[str]:
    return [str(each) for each in (value if isinstance(value, list | tuple) else [value])]


def _module_problems(raw: object, module: object) -> Iterator[_Problem]:
    """Find what a network of the user's cannot have; which modules are in it is known when it is built."""
    from hebbevo.networks import arguments

    for key, field_ in Network.model_fields.items():
        given = _mapping(raw, "network").get(key)
        plain = list(field_.default) if isinstance(field_.default, tuple) else field_.default
        if key not in ("module", "count", "settings") and given is not None and given != plain:
            yield _Problem(("network", key), "is for hebbevo's own families; drop it, or drop module")
    if not isinstance(module, str) or not user_code.is_reference(module):
        return
    try:
        takes = arguments(module)
    except UsageError as error:
        yield _Problem(("network", "module"), str(error))
        return
    of_modules = _by_name(known_knobs())
    names = [*_mapping(raw, "genome"), *_mapping(raw, "network", "settings")]
    of_layers = {name: of_modules[knob] for name in names if (knob := name.rpartition(".")[2]) in of_modules}
    of_function: Known = dict.fromkeys(takes, ())
    known: Known = {**of_function, **of_modules, **_by_name(KNOBS), **of_layers, **of_function}
    noun = f"an argument of {module} or a knob"
    yield from _setting_problems(raw, "network", noun, known)
    yield from _gene_problems(raw, noun, known, ())


def _code_problems(path: KeyPath, name: object) -> Iterator[_Problem]:
    """Find why the code that is named cannot be imported: whoever reads a space file means to run it."""
    if isinstance(name, str) and user_code.is_reference(name):
        try:
            user_code.resolve(name)
        except UsageError as error:
            yield _Problem(path, str(error))


def _data_problems(task: Mapping[str, Any], built_in: Collection[str]) -> Iterator[_Problem]:
    dataset = task.get("dataset")
    if not isinstance(dataset, str) or dataset in built_in:
        return
    if user_code.is_reference(dataset):
        yield from _code_problems(("task", "dataset"), dataset)
    elif not dataset.lower().endswith(DATA_FILES):
        known = [*built_in, "a path that ends in .npz, .csv or .parquet", f"{_CODE} of a function"]
        yield _Problem(("task", "dataset"), _unknown(dataset, "a data set", known))
    elif dataset.lower().endswith(TABLES) and task.get("target") is None:
        yield _Problem(("task", "target"), "missing; write the name of the column to predict")


def _setting_problems(raw: object, part: str, noun: str, known: Known) -> Iterator[_Problem]:
    """Find settings that are not known, or that a knob of the name refuses."""
    for name, value in _mapping(raw, part, "settings").items():
        if name not in known:
            yield _Problem((part, "settings", name), _unknown(name, noun, known))
        elif _usable(value):
            found = [what for knob in known[name] if (what := knob.problem(value))]
            yield from (_Problem((part, "settings", name), what) for what in found)


def _gene_problems(raw: object, noun: str, known: Known, layered: Collection[str]) -> Iterator[_Problem]:
    genome = _mapping(raw, "genome")
    for name in genome:
        if name not in known:
            yield _Problem(("genome", name), _unknown(name, noun, known))
    for name, gene in _sound_genes(raw).items():
        if name in known:
            for knob in known[name]:
                yield from (_Problem(("genome", name, *path), what) for path, what in gene.misfits(knob))
            if gene.repeat is not None and name not in layered:
                yield _Problem(("genome", name, "repeat"), f"{name} is not set per layer; drop repeat")
    for name in _mapping(raw, "network", "settings"):
        if name in genome:
            yield _Problem(("network", "settings", name), "is a gene too; drop it here or in the genome")


def _unfit(spec: Spec) -> Iterator[_Problem]:
    """Find genes that a network or a layer of it can lack."""
    network = spec.network
    convolutional = network.family == "conv"
    if convolutional and not network.channels:
        what = "missing; write the channels of the convolutions, as in [16, 32]"
        yield _Problem(("network", "channels"), what)
    alien = "inputs" if convolutional else "channels"
    if getattr(network, alien):
        yield _Problem(("network", alien), f"{network.family} has none; drop it")
    for rule in _space_rules(spec, "units") if network.inputs else ():
        if Need.INCOMING in UNITS[rule].needs:
            what = f"{rule} scores units by the weights that feed them, which inputs do not have; drop it"
            yield _Problem(("network", "inputs"), what)
    if not convolutional and not network.hidden:
        yield _Problem(("network", "hidden"), f"is empty; write {Network.model_fields['hidden'].description}")
    for name, gene in spec.genome.items():
        if "depth" in spec.genome:
            layers: Count = "depth"
        else:
            widths = {"channels": network.channels, "hidden": network.hidden}
            layers = len(widths.get(name, (*network.channels, *network.hidden)))
        if gene.repeat not in (None, layers):
            what = f"{gene.repeat} is not the number of its layers; write repeat: {layers}"
            yield _Problem(("genome", name, "repeat"), what)
        if lacking := _lacking(spec, name):
            axis, rules = lacking
            having = [rule for rule in _space_rules(spec, axis) if name in AXES[axis][rule].knobs]
            known = having[0] if len(having) == 1 else f"[{listed(having)}]"
            what = f"{listed(rules)} has no such knob; write when: {{{axis}: {known}}}"
            yield _Problem(("genome", name), what)


def _widthless(spec: Spec) -> Iterator[_Problem]:
    """Find a layer that neither the genes nor the network give a width."""
    shape = (1,) * (3 if spec.network.channels else 1)
    try:
        largest(spec.network.architecture(shape, 1), spec.space)
    except GeneError as error:
        yield _Problem(("genome", error.gene, *error.path), error.what)


def _rules(axis: str, fixed: object, genome: Mapping[str, Range | Choices]) -> list[object]:
    """The rules of an axis that networks may have: ``fixed``, unless there is always a gene for it."""
    gene = genome.get(axis)
    if not isinstance(gene, Choices):
        return [fixed]
    return [*gene.choices, fixed] if gene.when and fixed not in gene.choices else [*gene.choices]


def _space_rules(spec: Spec, axis: str) -> list[str]:
    """The names of the rules of an axis that networks of a space may have."""
    return [str(rule) for rule in _rules(axis, getattr(spec.network, axis), spec.genome)]


def _lacking(spec: Spec, name: str) -> tuple[str, list[str]] | None:
    """The axis whose rules have a knob of this name, and those of them without it that its gene can meet.

    Nothing where no rule has such a knob, or where all rules of an axis under which the gene exists have it.
    """
    found = None
    for axis, known in AXES.items():
        rules = _space_rules(spec, axis)
        having = [rule for rule in rules if name in known[rule].knobs]
        met = _conditions(spec, name, axis)
        lacking = [rule for rule in rules if rule in met and rule not in having]
        if having and not lacking:
            return None
        if having and found is None:
            found = axis, lacking
    return found


def _conditions(spec: Spec, name: str, axis: str) -> set[object]:
    """The rules of an axis under which a gene exists."""
    rules = set[object](_space_rules(spec, axis))
    ancestry = [name]
    for each in ancestry:  # which grows meanwhile
        gene = spec.genome[each]
        rules &= set(gene.when.get(axis, rules))
        parents = {*gene.when, gene.repeat}
        ancestry += [other for other in spec.genome if other in parents and other not in ancestry]
    return rules


def _genes(models: Mapping[str, Range | Choices]) -> tuple[list[Gene], Repeats]:
    """The genes as written, and which of them are repeated."""
    repeats = {name: model.repeat for name, model in models.items() if model.repeat is not None}
    return [model.gene(name) for name, model in models.items()], repeats


def _sound_genes(raw: object) -> dict[str, Range | Choices]:
    genes: dict[str, Range | Choices] = {}
    for name, gene in _mapping(raw, "genome").items():
        if kind := _kind(gene):
            with contextlib.suppress(ValidationError):
                genes[name] = GENES[kind].model_validate(gene)
    return genes


def _mapping(raw: object, *path: str) -> Mapping[str, Any]:
    for key in path:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw if isinstance(raw, Mapping) else {}


# --- wording ---


def _unknown(name: object, noun: str, known: Collection[str]) -> str:
    close = _close(name, known)
    advice = f"write {close[0]}; known: " if close else "write one of "
    return f"{_shown(name)} is not {noun}; {advice}{listed(list(known))}"


def _close(name: object, known: Collection[object]) -> list[str]:
    return difflib.get_close_matches(str(name), [str(other) for other in known], n=1)


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _key(path: KeyPath) -> str:
    return ".".join(str(part) or "''" for part in path)


def _error(path: Path, line: int, key: str, what: str) -> SpaceError:
    return SpaceError(_one_line(f"{path}:{line}: {key}: {what}"))


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _leaves(value: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    leaves: dict[str, object] = {}
    for key, item in value.items():
        inner = _leaves(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {prefix + key: item}
        leaves.update(inner)
    return leaves


def _equal(a: object, b: object) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return same(a, b)
