"""Whether hypervolumes of studies can be compared, and from which common reference they are measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hebbevo.errors import StudyError
from hebbevo.study.view import Study


@dataclass(frozen=True)
class Reference:
    """The point from which all hypervolumes are measured.

    Attributes:
        chance: the largest chance accuracy of all studies.
        largest: for each count that the fronts trade off, the most that a network of all studies has.
    """

    chance: float
    largest: tuple[int, ...]


def common_reference(studies: Sequence[Study]) -> Reference:
    """Find the reference of studies that were measured in the same way.

    Studies with other seeds may have other rows, and so another chance, where groups of rows stay together.

    Raises:
        StudyError: two studies differ in the data, the split, the score, or the objectives.
    """
    first = studies[0]
    of_seed: dict[int, Study] = {}
    for study in studies:
        twin = of_seed.setdefault(study.settings["search"]["seed"], study)
        differences = [*_measured_differently(first, study), *_split_differently(twin, study)]
        if differences:
            what = "; ".join(dict.fromkeys(differences))
            raise StudyError(
                f"{study.store}: cannot be compared with {first.store}: {what}; "
                "compare studies of the same data and objectives"
            )
    of_counts = zip(*(study.largest for study in studies), strict=True)
    return Reference(max(study.chance for study in studies), tuple(map(max, of_counts)))


def _measured_differently(one: Study, other: Study) -> Iterator[str]:
    tasks = one.settings["task"], other.settings["task"]
    names = [str(task["dataset"]) for task in tasks]
    if one.fingerprint and other.fingerprint:
        same = one.fingerprint == other.fingerprint
    else:
        same = names[0] == names[1]
    if not same:
        both = f"is {names[1]}, not {names[0]}" if names[0] != names[1] else f"{names[0]} was another one"
        yield f"the data set {both}"
    for key, what in (("split", "what decides the split"), ("kind", "the kind of the task")):
        if tasks[0].get(key) != tasks[1].get(key):
            yield f"{what} is {_plain(tasks[1].get(key))}, not {_plain(tasks[0].get(key))}"
    if bool(tasks[0].get("test")) != bool(tasks[1].get("test")):
        yield "only one has test rows in a file of their own"
    scores = [study.settings["task"].get("score") or study.score for study in (one, other)]
    if scores[0] != scores[1]:
        yield f"the score is {scores[1]}, not {scores[0]}"
    if one.count != other.count:
        yield f"survivors are {other.count}, not {one.count}"
    first, second = (replace(study.goal, survivors="survivors") for study in (one, other))
    if first.aim != second.aim:
        yield f"the objectives are {other.goal.aim}, not {one.goal.aim}"
    if first.limits != second.limits:
        yield f"the constraints are {other.goal.limits or 'none'}, not {one.goal.limits or 'none'}"
    if not tasks[0].get("split"):
        yield from _split_differently(one, other)


def _split_differently(one: Study, other: Study) -> Iterator[str]:
    for part in one.rows:
        if one.rows[part] != other.rows.get(part, one.rows[part]):
            yield f"it has {other.rows[part]:,} {part} rows, not {one.rows[part]:,}"
    if one.chance != other.chance:
        yield f"chance is {other.chance:.4g}, not {one.chance:.4g}"


def _plain(setting: object) -> str:
    if isinstance(setting, dict):
        return ", ".join(f"{key} {value}" for key, value in setting.items())
    return "none" if setting is None else str(setting)
