"""Whether data are a spec, whatever rules and samplers are installed: keys, types, ranges, conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hebbevo.errors import SpaceError
from hebbevo.messages import closest
from hebbevo.space import problems as problems_between
from hebbevo.spec import single_rule
from hebbevo.spec.messages import KeyPath, Problem, is_inside, key, not_known, one_line, shown
from hebbevo.spec.raw_data import mapping_at, valid_genes
from hebbevo.spec.schema import GENES, PARTS, Model, Spec, genes_of
from hebbevo.spec.translation import foreign_problems

_COMPLAINTS = {
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
    "part": "is not a part of a whole",
    "duration": "is not a length of time",
    "scalar": "is not a number, text, true or false",
    "code": "does not name code",
    "encoding": "is no encoding",
    "separator": "cannot separate columns",
    "score": "does not name a score",
    "class_weight": "gives no weights",
    "count": "does not count layers",
    "columns": "is not true, false or a list of names",
}
"""What to say of a value, by the type of pydantic's error."""

_CIRCLE = ("when",)
"""Where `hebbevo.space.problems` finds conditions that go in a circle."""

_PATHS: tuple[KeyPath, ...] = (("task", "dataset"), ("task", "test"))


def spec_from_json(data: object) -> Spec:
    """Build the spec that `Spec.to_json` gave, even if its rules or its sampler are no longer installed.

    Raises:
        SpaceError: ``data`` is not a spec; the message names the first key that is wrong.
    """
    for problem in structure_problems(data):
        raise SpaceError(one_line(f"{key(problem.path)}: {problem.what}"))
    spec = Spec.model_validate(data)
    if "standardize" in spec.task.model_fields_set:
        return spec
    # of a time when each feature was standardised by itself, and there was no other way
    return spec.model_copy(update={"task": spec.task.model_copy(update={"standardize": True})})


def structure_problems(raw: object) -> list[Problem]:
    """Find what is wrong without looking at what is installed."""
    if not isinstance(raw, Mapping):
        return [Problem(("file",), f"{shown(raw)} is not a mapping; write version, name, task and genome")]
    foreign = [*foreign_problems(raw)]
    if texts := [*_text_problems(raw, ())]:
        return [*foreign, *texts]  # half a character could not be shown in what follows
    try:
        Spec.model_validate(raw)
        found = foreign
    except ValidationError as error:
        found = [*foreign, *_native(map(_problem, _relevant(error.errors())), foreign)]
    models = valid_genes(raw)
    genes, repeats = genes_of(models)
    invalid = mapping_at(raw, "genome").keys() - models.keys()
    between = problems_between(genes, repeats)
    wrong = {problem.gene for problem in between if problem.path != _CIRCLE}
    for problem in between:
        # a gene that is reported already is no reason to call a condition on it wrong, nor a circle with it
        reported = invalid if problem.path != _CIRCLE else wrong
        if reported.isdisjoint({repeats.get(problem.gene), problem.gene, *problem.path}):
            found.append(Problem(("genome", problem.gene, *problem.path), problem.what))
    return found


def _text_problems(data: object, path: KeyPath) -> Iterator[Problem]:
    """Find texts with half a character, which no file and no table can hold."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield from _text_problems(name, path)
            yield from _text_problems(value, (*path, name))
    elif isinstance(data, list | tuple):
        for place, value in enumerate(data):
            yield from _text_problems(value, (*path, place))
    elif isinstance(data, str):
        try:
            # Python has the bytes of a path that are not UTF-8 as such halves
            data.encode(errors="surrogateescape" if path in _PATHS else "strict")
        except UnicodeEncodeError as error:
            half = ascii(data[error.start])
            yield Problem(path or ("file",), f"{half} is half a character; write a whole one")


def _native(found: Iterable[Problem], foreign: Sequence[Problem]) -> Iterator[Problem]:
    """Drop what is wrong only because genes, or the whole genome, are in the words of another tool."""
    places = [problem.path for problem in foreign]
    has_genome_elsewhere = any(len(path) == 1 for path in places)
    for problem in found:
        if not is_inside(problem.path, places) and not (has_genome_elsewhere and problem.path == ("genome",)):
            yield problem


def _relevant(errors: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Drop the absence of a key that is there misspelt, and an emptiness that follows from another error."""
    unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    for error in errors:
        misspelt = error["type"] == "missing" and any(
            loc[:-1] == error["loc"][:-1] and closest(loc[-1], [error["loc"][-1]]) for loc in unknown
        )
        if not misspelt and not (error["type"] == "too_short" and error["input"]):
            yield error


def _problem(error: ErrorDetails) -> Problem:
    """Put one of pydantic's errors in the words of a space file."""
    loc, kind = error["loc"], error["type"]
    path, inside = loc, loc
    model: type[Model] = Spec
    if parts := [part for part in PARTS if part == loc[: len(part)] and part != loc]:
        model, inside = PARTS[parts[-1]], loc[len(parts[-1]) :]
    elif loc[:1] == ("genome",) and len(loc) > 2:  # pydantic puts the kind of the gene after its name
        model, inside, path = GENES[str(loc[2])], loc[3:], loc[:2] + loc[3:]
    if kind == "conflict":
        return Problem(path + error["ctx"]["path"], error["ctx"]["what"])
    if path == ("network", "rule"):
        return Problem(path, single_rule.network_advice(error["input"]))
    if kind == "extra_forbidden":
        return Problem(path, not_known(path[-1], "a key here", model.model_fields))
    if kind == "missing":
        what = "missing"
    elif error["input"] is None:
        what = "has no value"
    else:
        what = f"{shown(error['input'])} {_COMPLAINTS.get(kind, 'cannot be used')}"
    return Problem(path, f"{what}; write {model.model_fields[str(inside[0])].description}")
