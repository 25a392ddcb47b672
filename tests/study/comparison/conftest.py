"""Studies whose results are made up, as records and as files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hebbevo.spec import Spec
from hebbevo.study.confirmation_record import ConfirmationRecord, Member, Request, Role, Training
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Generation, Ledger, Record
from hebbevo.study.storage import StudyFile
from hebbevo.study.view import Study
from tests.study.conftest import result

Points = Iterable[tuple[float, float]]

GA = {seed: [(0.9 + 0.01 * seed, 20.0), (0.7, 8.0)] for seed in range(5)}
RANDOM = {seed: [(0.85 + 0.012 * seed, 25.0), (0.2, 60.0)] for seed in range(5)}
"""The points of searches with two samplers, by seed."""


@dataclass(frozen=True)
class MadeUp:
    """What a study reads from its ledger."""

    store: StudyFile
    spec: Spec
    facts: StudyFacts
    recorded: tuple[Generation, ...]
    confirmed: tuple[ConfirmationRecord, ...] = ()
    wall_seconds: float | None = None

    def generations(self) -> list[Generation]:
        return list(self.recorded)

    def confirmations(self) -> list[ConfirmationRecord]:
        return list(self.confirmed)

    def write(self) -> Path:
        """Write it to its file."""
        with Ledger.create(self.store, self.spec, self.facts) as ledger:
            ledger.add_generations(self.recorded)
            ledger.add_confirmations(self.confirmed)
        return self.store.path


def made_up(
    points: Points,
    path: Path = Path("studies/made-up.db"),
    *,
    seed: int = 0,
    sampler: str = "random",
    settings: Mapping[str, Any] | None = None,
    total: int | None = None,
    confirmed: Mapping[int, Sequence[float]] | None = None,
    **facts: Any,
) -> MadeUp:
    """Make up a study of one generation whose trials have reached these points.

    ``settings`` are by section of the space file. ``confirmed`` has the accuracies that a trial reaches when
    it is trained again, with 20 survivors. ``facts`` replace those of the study.
    """
    points = list(points)
    sections: dict[str, Any] = {
        "version": 1,
        "name": "made-up",
        "task": {"dataset": "digits"},
        "search": {"sampler": sampler, "seed": seed, "trials": max(1, len(points))},
        "genome": {"rate": {"low": 1e-5, "high": 0.1, "log": True}},
    }
    for section, given in (settings or {}).items():
        sections[section] = {**sections.get(section, {}), **given} if isinstance(given, Mapping) else given
    known = {
        "versions": {},
        "neurons": 100,
        "chance": 0.1,
        "fingerprint": "digits",
        "rows": {"train": 1259, "validation": 269, "test": 269},
    }
    records = [
        Record(number, {"rate": 1e-4 * (number + 1)}, result(number, point))
        for number, point in enumerate(points)
    ]
    generations = (Generation(0, total or len(points), 0.0, tuple(records)),) if records else ()
    made = MadeUp(StudyFile(path), Spec.model_validate(sections), StudyFacts(**known | facts), generations)
    return replace(made, confirmed=(_confirmation(confirmed, len(points)),)) if confirmed else made


def _confirmation(accuracies: Mapping[int, Sequence[float]], trials: int) -> ConfirmationRecord:
    members = tuple(
        Member(trial=trial, epoch=1, accuracy=0.9, survivors=20.0, neurons=100) for trial in accuracies
    )
    replicates = len(next(iter(accuracies.values())))
    request = Request(
        members=members, replicates=replicates, has_test=False, trials=trials, date="2026-03-01 14:05 UTC"
    )
    trainings = [
        Training(
            role=Role.MEMBER,
            trial=trial,
            replicate=replicate,
            epochs=1,
            accuracy=accuracy,
            halves=(accuracy, accuracy),
            survivors=20,
        )
        for trial, reached in accuracies.items()
        for replicate, accuracy in enumerate(reached)
    ]
    return ConfirmationRecord(0, request, dict(enumerate(trainings)), True)


def study_of(points: Points, path: Path | str = "studies/made-up.db", **given: Any) -> Study:
    return Study(made_up(points, Path(path), **given))


def searched(sampler: str, points: Mapping[int, Points], **given: Any) -> list[Study]:
    """A study for each seed."""
    return [
        study_of(own, f"{sampler}-{seed}.db", seed=seed, sampler=sampler, **given)
        for seed, own in points.items()
    ]


@pytest.fixture(scope="session")
def samplers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of two seeds of each of two samplers."""
    folder = tmp_path_factory.mktemp("samplers")
    for sampler, points in (("ga", GA), ("random", RANDOM)):
        for seed in (0, 1):
            made_up(points[seed], folder / f"{sampler}-{seed}.db", seed=seed, sampler=sampler).write()
    return folder
