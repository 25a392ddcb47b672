"""The progress of a search against the study that it makes."""

from pathlib import Path

import pytest

import hebbevo
from hebbevo.outer.progress import Tally
from hebbevo.study.ledger import Ledger
from tests.study.conftest import result


def test_the_progress_says_what_the_study_holds(space: Path, tmp_path: Path) -> None:
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=16, watch=seen.append)
    assert [progress.trials for progress in seen] == [0, 8, 16]
    assert seen[-1].front == len(study.front())
    assert seen[-1].hypervolume == pytest.approx(study.hypervolume())
    assert seen[0].fresh == 0
    assert (seen[0].reached, seen[0].counts) == ("", [])
    front = study.front()
    best = front.accuracy.max()
    small = front[front.accuracy >= best - 0.05].iloc[0]
    assert seen[-1].reached.startswith(f"best {100 * best:.1f} %")
    assert f"{100 * small.accuracy:.1f} % with {small.survivors:.1f}".removesuffix(".0") in seen[-1].reached


@pytest.mark.parametrize(
    ("front", "reached"),
    [
        ([(0.985, 200.0), (0.95, 14.0), (0.90, 3.0)], "best 98.5 %; 95.0 % with 14 neurons"),
        ([(0.985, 14.5), (0.90, 3.0)], "best 98.5 % with 14.5 neurons"),
        ([(0.1, 3.0)], "no network beats chance yet"),
    ],
)
def test_what_was_reached_is_the_best_and_the_smallest_nearly_as_good(uninterrupted, front, reached) -> None:
    with Ledger.open(uninterrupted) as ledger:
        tally = Tally(ledger)
    assert tally.reached == ""
    tally.add([result(number, values) for number, values in enumerate(front)])
    assert tally.reached == reached


def test_where_all_trials_failed_nothing_was_reached(uninterrupted) -> None:
    with Ledger.open(uninterrupted) as ledger:
        tally = Tally(ledger)
    tally.add([result(0, None, failure="diverged")])
    assert tally.reached == ""


def test_front_and_hypervolume_count_only_points_that_meet_the_constraints(
    space: Path, tmp_path: Path
) -> None:
    space.write_text(f"{space.read_text()}constraints: {{survivors: {{max: 10}}}}\n")
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(space, study=tmp_path / "s.db", watch=seen.append)
    assert study.trials().survivors.max() > 10 >= study.front().survivors.max()
    assert seen[-1].front == len(study.front()) > 0
    assert seen[-1].hypervolume == pytest.approx(study.hypervolume())
