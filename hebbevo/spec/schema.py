"""What a space file may say; the description of a field is the advice on what to write there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from hebbevo import user_code
from hebbevo.data import WHITESPACE, Kind, ReadingOptions
from hebbevo.data.columns import Encoding as CategoryEncoding
from hebbevo.data.options import SplitKind
from hebbevo.messages import listed
from hebbevo.networks import DEFAULT_RULES, Architecture
from hebbevo.objectives.goal import COUNTS, MEASURES, Goal
from hebbevo.space import ChoiceGene, FloatGene, Gene, GeneError, Genome, IntGene, Repeats, Space, expanded
from hebbevo.space.knobs import Knob
from hebbevo.spec.counts import survivors_of
from hebbevo.spec.field_types import (
    CODE,
    Choice,
    ClassWeight,
    Code,
    Columns,
    Encoding,
    Number,
    Part,
    Repeat,
    Scalar,
    Score,
    Seconds,
    Separator,
    When,
    Whole,
    Width,
)
from hebbevo.spec.messages import KeyPath
from hebbevo.training.scores import DEFAULT_SCORES, SCORES, BuiltInScore

AUTO: Literal["auto"] = "auto"
"""What a search leaves open: it takes the native engine wherever that can compute its trainings."""

_NAMES = (*MEASURES, *COUNTS)  # of measures, as a space file may write them
_MOST_OBJECTIVES = 3


class Model(BaseModel):
    """A mapping with known keys only, which cannot be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _OptionalKeys(Model):
    """A mapping whose keys are optional; ``None`` marks an absent one and cannot be written."""

    @field_validator("*", mode="before")
    @classmethod
    def _has_a_value(cls, value: Any) -> Any:
        if value is None:
            raise PydanticCustomError("nothing", "nothing")
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        keys = handler.resolve_ref_schema(schema).get("properties", {})
        for key in keys.values():
            del key["default"]
            key["anyOf"] = [each for each in key["anyOf"] if each != {"type": "null"}]
        return schema

    @model_serializer(mode="wrap")
    def _without_absent_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class Table(_OptionalKeys):
    """How a table is written, and which of its columns are features."""

    separator: Separator | None = Field(
        default=None, description=f"one character in quotes, as in ';', or {WHITESPACE}"
    )
    decimal: Literal[".", ","] | None = Field(default=None, description="'.' or ','")
    encoding: Encoding | None = Field(default=None, description="the name of an encoding, as in latin-1")
    drop: tuple[str, ...] | None = Field(
        default=None, strict=False, description="a list of columns, as in [id, name]"
    )
    keep: tuple[str, ...] | None = Field(
        default=None, strict=False, description="a list of columns, as in [id, name]"
    )

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.decimal == "," and self.separator == ",":
            raise _conflict(("separator",), "is the decimal mark too; write another separator, as in ';'")
        if both := sorted({*(self.drop or ())} & {*(self.keep or ())}):
            raise _conflict(("keep",), f"{both[0]!r} is under drop too; write it once")
        return self


class SplitBy(_OptionalKeys):
    """The column of a table, or the array, that decides which rows are held out."""

    groups: str | None = Field(default=None, description="the column whose equal values stay together")
    time: str | None = Field(default=None, description="the column with the times")
    column: str | None = Field(default=None, description="the column that holds train, validation and test")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_dump()) != 1:
            raise _conflict((), "needs one of groups, time and column, as in {groups: patient}; write one")
        return self

    @property
    def rule(self) -> tuple[SplitKind, str]:
        """What decides, and the name of the column."""
        rules: dict[SplitKind, str | None] = {"groups": self.groups, "time": self.time, "column": self.column}
        return next((kind, column) for kind, column in rules.items() if column is not None)


class Task(Model):
    """What is learned, and for how long."""

    dataset: str = Field(
        description=f"the name of a data set, a path that ends in .npz, .csv, .tsv or .parquet, or {CODE}"
    )
    target: str | None = Field(default=None, description="the name of the column to predict")
    table: Table | None = Field(default=None, description="a mapping, as in {separator: ';', drop: [id]}")
    test: str | None = Field(default=None, description="the path of a file with the test rows")
    split: SplitBy | None = Field(default=None, description="a mapping, as in {groups: patient}")
    kind: Kind = Field(default="classification", description="classification or regression")
    standardize: Columns = Field(
        default=AUTO, description="auto, true, false, per_channel, or a list of columns"
    )
    categorical: dict[str, CategoryEncoding] = Field(
        default={}, description="one_hot or index for each column of categories"
    )
    epochs: Whole = Field(default=20, ge=1, description="a whole number of 1 or more")
    batch_size: Whole = Field(default=64, ge=1, description="a whole number of 1 or more")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="float32 or bfloat16")
    loss: Code | None = Field(default=None, description=f"{CODE} of a function (outputs, labels)")
    score: Score | None = Field(
        default=None, description=f"{listed(SCORES)}, or {CODE} of a function (outputs, labels)"
    )
    class_weight: ClassWeight | None = Field(
        default=None, description="balanced, or {class: weight} with a weight above 0 for each class"
    )

    @property
    def score_title(self) -> str:
        """The score as people read it; a score of the user is called accuracy."""
        return self._built_in_score.title if self._built_in_score else "accuracy"

    @property
    def in_percent(self) -> bool:
        """Whether the score is shown in percent."""
        return self._built_in_score is None or self._built_in_score.in_percent

    @property
    def _built_in_score(self) -> BuiltInScore | None:
        return SCORES.get(self.score or DEFAULT_SCORES[self.kind])

    @property
    def reading_options(self) -> ReadingOptions:
        """What this says about how the data are read."""
        given = self.table.model_dump() if self.table else {}
        return ReadingOptions(
            **given,
            categorical=self.categorical,
            test=self.test,
            split=self.split.rule if self.split else None,
        )


class Network(Model):
    """The network before pruning: of a built-in family, or what the user's function ``module`` builds.

    ``settings`` holds knobs with a fixed value.
    """

    module: Code | None = Field(default=None, description=f"{CODE} of a function that builds a network")
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
    readout: str = Field(
        default="trained", description="which head gives the accuracy: trained, or ridge, which is fitted"
    )
    count: str = Field(
        default="neurons", description="what survivors are: neurons, connections, parameters or multiply_adds"
    )
    settings: dict[str, Scalar] = Field(
        default={}, description="knobs with a number, text, true or false each"
    )
    inputs: bool = Field(default=False, description="true or false")

    def architecture(self, shape: tuple[int, ...], classes: int) -> Architecture:
        """The network of the family.

        Args:
            shape: shape of one row of the data, as (features,) or (channels, height, width).
            classes: number of outputs.
        """
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
            self.readout,
        )

    @model_validator(mode="before")
    @classmethod
    def _has_hidden_layers_of_its_family(cls, data: Any) -> Any:
        """A network that is convolutions and a head has no hidden layers, unless it says otherwise."""
        if isinstance(data, Mapping) and data.get("family") == "hebbian_conv":
            return {"hidden": [], **data}
        return data


class Search(Model):
    """How genomes are proposed and trained; ``population`` is the size of a generation."""

    sampler: str = Field(default="surrogate", description="the name of a sampler")
    population: Whole = Field(default=50, ge=4, description="a whole number of 4 or more")
    trials: Whole = Field(default=500, ge=1, description="a whole number of 1 or more")
    timeout: Seconds | None = Field(
        default=None, description="seconds above 0, or a text as in 90s, 10m, 2h, 1h30m"
    )
    replicates: Whole = Field(default=1, ge=1, description="a whole number of 1 or more")
    cohort_width: Whole | None = Field(default=None, ge=1, description="a whole number of 1 or more")
    threads: Whole = Field(default=1, ge=1, description="a whole number of 1 or more")
    engine: Literal["auto", "pytorch", "native"] = Field(default=AUTO, description="auto, pytorch or native")
    halving: bool = Field(default=False, description="true or false")
    pruning_patience: Part = Field(default=1.0, description="a number from 0 to 1")
    keep: Literal["none", "front"] = Field(default="none", description="none or front")
    seed: Whole = Field(default=0, ge=0, le=2**31 - 1, description=f"a whole number from 0 to {2**31 - 1}")
    start: tuple[dict[str, Choice], ...] = Field(
        default=(),
        strict=False,
        description="a list of genomes, as in [{learning_rate: 0.001, penalty_form: mean}]",
    )
    settings: dict[str, Scalar] = Field(
        default={}, description="settings with a number, text, true or false each"
    )


class Weights(_OptionalKeys):
    """How much each measure counts in the one number to maximise."""

    accuracy: Number | None = Field(default=None, description="a finite number")
    survivors: Number | None = Field(default=None, description="a finite number")
    neurons: Number | None = Field(default=None, description="a finite number")
    connections: Number | None = Field(default=None, description="a finite number")
    parameters: Number | None = Field(default=None, description="a finite number")
    multiply_adds: Number | None = Field(default=None, description="a finite number")

    @model_validator(mode="after")
    def _one_is_not_0(self) -> Self:
        if not any(getattr(self, name) for name in _NAMES):
            what = "no measure has a weight other than 0; write one, as in {accuracy: 1.0, survivors: -0.001}"
            raise _conflict((), what)
        return self


class Objectives(_OptionalKeys):
    """What is improved: two or three measures for their trade-off, one of them, or a weighted sum."""

    accuracy: Literal["maximize"] | None = Field(default=None, description="maximize")
    survivors: Literal["minimize"] | None = Field(default=None, description="minimize")
    neurons: Literal["minimize"] | None = Field(default=None, description="minimize")
    connections: Literal["minimize"] | None = Field(default=None, description="minimize")
    parameters: Literal["minimize"] | None = Field(default=None, description="minimize")
    multiply_adds: Literal["minimize"] | None = Field(default=None, description="minimize")
    weighted: Weights | None = Field(
        default=None, description="{measure: weight}, as in {accuracy: 1.0, survivors: -0.001}"
    )

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        given = [name for name in _NAMES if getattr(self, name)]
        if not (given or self.weighted):
            what = "there is none; write accuracy: maximize, survivors: minimize, or both"
            raise _conflict((), what)
        if len(given) > _MOST_OBJECTIVES:
            raise _conflict((), f"there are {len(given)}; write at most three, and limit the others")
        if self.weighted and given:
            raise _conflict(("weighted",), "is the only objective where it stands; drop it, or the others")
        return self


class Limits(_OptionalKeys):
    """The range in which a measure must be."""

    min: Number | None = Field(default=None, description="a finite number")
    max: Number | None = Field(default=None, description="a finite number")

    @model_validator(mode="after")
    def _are_a_range(self) -> Self:
        if self.min is None and self.max is None:
            raise _conflict((), "there is no bound; write min, max, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            what = f"{self.max} is below min, which is {self.min}; write a larger max or a smaller min"
            raise _conflict(("max",), what)
        return self


class Constraints(_OptionalKeys):
    """The limits that a trial must meet."""

    accuracy: Limits | None = Field(default=None, description="{min: ..., max: ...}, or one of the two")
    survivors: Limits | None = Field(default=None, description="{min: ..., max: ...}, or one of the two")
    neurons: Limits | None = Field(default=None, description="{min: ..., max: ...}, or one of the two")
    connections: Limits | None = Field(default=None, description="{min: ..., max: ...}, or one of the two")
    parameters: Limits | None = Field(default=None, description="{min: ..., max: ...}, or one of the two")
    multiply_adds: Limits | None = Field(default=None, description="{min: ..., max: ...}, or one of the two")

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        for measure, limits in self.given().items():
            for bound, value in (("min", limits.min), ("max", limits.max)):
                if value is not None and (value < 0 or (measure == "accuracy" and value > 1)):
                    write = "from 0 to 1" if measure == "accuracy" else "of 0 or more"
                    raise _conflict((measure, bound), f"{value} is out of reach; write a number {write}")
        return self

    def given(self) -> dict[str, Limits]:
        """The limits, by measure, of those measures that have some."""
        limits = {measure: getattr(self, measure) for measure in _NAMES}
        return {measure: range_ for measure, range_ in limits.items() if range_ is not None}


def _conflict(path: KeyPath, what: str) -> PydanticCustomError:
    """What is wrong between the keys of a mapping, and where inside the mapping."""
    return PydanticCustomError("conflict", "conflict", {"path": path, "what": what})


class _GeneModel(Model):
    def gene(self, name: str) -> Gene:
        raise NotImplementedError

    def problems_with(self, knob: Knob) -> Iterator[tuple[KeyPath, str]]:
        raise NotImplementedError

    @model_validator(mode="after")
    def _is_a_gene(self) -> Self:
        try:
            self.gene("gene")
        except GeneError as error:
            raise _conflict(error.path, error.what) from error
        return self


class Range(_GeneModel):
    """A gene that is a number from ``low`` to ``high``."""

    low: Number = Field(description="the smallest value, a finite number")
    high: Number = Field(description="the largest value, a finite number")
    log: bool = Field(default=False, description="true or false")
    type: Literal["float", "int"] = Field(default="float", description="float or int")
    step: Number | None = Field(
        default=None, description="a number above 0, or with type: int a whole number of 1 or more"
    )
    zero: bool = Field(default=False, description="true or false")
    when: When = {}
    repeat: Repeat = None

    def gene(self, name: str) -> Gene:
        """The gene under this name.

        Raises:
            GeneError: the range is impossible.
        """
        when = tuple(self.when.items())
        if self.type == "float":
            return FloatGene(name, self.low, self.high, self.log, when, self.step, self.zero)
        for key in ("low", "high", "step"):
            if (value := getattr(self, key) or 0) % 1:
                what = f"{value} is not a whole number; write one, or type: float"
                raise GeneError(name, (key,), what)
        if self.zero:
            raise GeneError(name, ("zero",), "is for type: float; write choices, or drop it")
        step = 1 if self.step is None else int(self.step)
        return IntGene(name, int(self.low), int(self.high), step, self.log, when)

    def problems_with(self, knob: Knob) -> Iterator[tuple[KeyPath, str]]:
        """Yield where and why the knob cannot have all numbers of this range."""
        if knob.choices:
            yield (), f"a choice has no range; write {{choices: [{listed(knob.choices)}]}}"
        elif knob.kind is int and self.type != "int":
            yield ("type",), "this knob is a whole number; write type: int"
        else:
            for bound in ("low", "high"):
                if what := knob.problem(getattr(self, bound)):
                    yield (bound,), what
            if self.zero and (what := knob.problem(0.0)):
                yield ("zero",), what


class Choices(_GeneModel):
    """A gene that is one of ``choices``."""

    choices: tuple[Choice, ...] = Field(
        min_length=1,
        strict=False,
        description="a list of numbers, texts, true or false, or of lists of these, as in [mean, ratio]",
    )
    when: When = {}
    repeat: Repeat = None

    def gene(self, name: str) -> Gene:
        """The gene under this name.

        Raises:
            GeneError: two choices are equal.
        """
        return ChoiceGene(name, self.choices, tuple(self.when.items()))

    def problems_with(self, knob: Knob) -> Iterator[tuple[KeyPath, str]]:
        """Yield where and why the knob cannot have a choice."""
        for i, choice in enumerate(self.choices):
            if what := knob.problem(choice):
                yield ("choices", i), what
            elif isinstance(choice, list) and self.repeat is not None:
                yield ("repeat",), "a list is for all layers; drop repeat"


GENES: dict[str, type[Range] | type[Choices]] = {"Range": Range, "Choices": Choices}
"""The models of genes, by the tags of `gene_kind`."""


def gene_kind(gene: object) -> str | None:
    """Which of `GENES` a gene is meant to be, or ``None`` for what is no mapping."""
    if isinstance(gene, _GeneModel):
        return type(gene).__name__
    return ("Choices" if "choices" in gene else "Range") if isinstance(gene, Mapping) else None


def genes_of(genome: Mapping[str, Range | Choices]) -> tuple[list[Gene], Repeats]:
    """The genes in the order of the file, and which of them are repeated layer by layer."""
    repeats = {name: model.repeat for name, model in genome.items() if model.repeat is not None}
    return [model.gene(name) for name, model in genome.items()], repeats


class Spec(Model):
    """Everything that a space file says, with the defaults filled in; equal specs make equal searches."""

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
            Discriminator(gene_kind),
        ],
    ] = Field(
        min_length=1,
        description="{low: ..., high: ...} or {choices: [...]} under the name of each knob to search",
    )

    @model_validator(mode="after")
    def _is_patient_with_neurons(self) -> Self:
        improved = self.goal.weights or self.goal.objectives
        if self.search.pruning_patience < 1 and not (self.count == "neurons" and "survivors" in improved):
            what = "is for searches with neurons as an objective; drop it"
            raise _conflict(("search", "pruning_patience"), what)
        return self

    @property
    def code(self) -> list[str]:
        """The references to the user's code that the spec contains, as ``package.module:name``."""
        named = (self.network.module, self.task.dataset, self.task.loss, self.task.score)
        return [name for name in named if name is not None and user_code.is_reference(name)]

    @cached_property
    def space(self) -> Space:
        """The search space, its genes in the order of the file, repeated ones layer by layer."""
        return Space(expanded(*genes_of(self.genome)))

    @property
    def starting_genomes(self) -> list[Genome]:
        """The genomes that the search proposes first; whole ones, once a study has recorded them."""
        return [dict(genome) for genome in self.search.start]

    @property
    def count(self) -> str:
        """What survivors are a number of."""
        return survivors_of(self.network.count, self._named)

    @cached_property
    def goal(self) -> Goal:
        """What the search is for."""
        weighted, limits = self.objectives.weighted, self.constraints.given()
        named = (*(name for name in _NAMES if name in self._named), *limits)
        own = {self.count: "survivors"}
        further = dict.fromkeys(name for name in named if name in COUNTS and name not in own)
        objectives = [own.get(name, name) for name in named if name in self._named]
        order = (*MEASURES, *further)
        weights = weighted.model_dump() if weighted else {}
        return Goal(
            objectives=MEASURES if weighted else tuple(sorted(dict.fromkeys(objectives), key=order.index)),
            weights={own.get(name, name): weight for name, weight in weights.items()},
            constraints={own.get(name, name): (each.min, each.max) for name, each in limits.items()},
            score=self.task.score_title,
            further=tuple(further),
            survivors=self.count if self.count in named else "survivors",
        )

    @property
    def _named(self) -> dict[str, Any]:
        """What the objectives name, or their weights."""
        return (self.objectives.weighted or self.objectives).model_dump()

    def to_json(self) -> dict[str, Any]:
        """Give the spec, with its defaults, as plain data for JSON, in the order of the file."""
        return self.model_dump(mode="json")


PARTS: dict[KeyPath, type[Model]] = {
    ("task",): Task,
    ("task", "table"): Table,
    ("task", "split"): SplitBy,
    ("network",): Network,
    ("search",): Search,
    ("objectives",): Objectives,
    ("objectives", "weighted"): Weights,
    ("constraints",): Constraints,
    ("constraints", "accuracy"): Limits,
    **{("constraints", name): Limits for name in (*MEASURES[1:], *COUNTS)},
}
"""The models of the mappings inside a spec, genes apart."""
