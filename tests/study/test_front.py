"""What may be on a front, by hand-made results and by brute force."""

from pathlib import Path

import numpy as np
import pytest

from hebbevo.outer.progress import Tally
from hebbevo.spec import Spec
from hebbevo.study.front import front_rows
from hebbevo.study.ledger import Ledger, Result
from hebbevo.study.view import Study
from tests.study.conftest import FACTS, SPEC, create, result

GENOME = {"rate": 1e-3, "shift": 0.0, "depth": 1, "width": 3, "kind": "plain"}


def recorded(path: Path, results: list[Result], **goal: dict) -> tuple[Study, Tally]:
    """A study with these results, chance 0.1 and 20 neurons, and the tally of the search that made it."""
    create(path, Spec.model_validate(SPEC.to_json() | goal), FACTS)
    with Ledger.open(path) as ledger:
        tally = Tally(ledger)
        ledger.open_generation(0, len(results), 0.0, [GENOME] * len(results))
        ledger.close_cohort(results)
        tally.add(results)
        return Study(ledger), tally


def test_no_point_at_or_below_chance_and_no_collapsed_network_is_on_the_front(tmp_path: Path) -> None:
    results = [
        result(0, (0.9, 12.0)),
        result(1, (FACTS.chance, 1.0)),
        result(2, (0.05, 0.0), collapsed=True),
        result(3, (0.95, 2.0), collapsed=True),  # one of several replicates
        result(4, (0.11, 3.0)),
    ]
    study, tally = recorded(tmp_path / "s.db", results)
    assert study.front().trial.tolist() == [4, 0]
    assert study.points().works.tolist() == [True, False, False, False, True]
    assert tally.front.tolist() == [[0.11, 3.0], [0.9, 12.0]]
    expected = (0.01 * 17 + 0.79 * 8) / 20 / 0.9
    assert study.hypervolume() == pytest.approx(expected)
    assert tally.hypervolume == pytest.approx(expected)


def test_a_state_before_the_collapse_can_be_on_the_front(tmp_path: Path) -> None:
    states = {"accuracy_per_epoch": [0.8, 0.1], "survivors_per_epoch": [5.0, 0.0]}
    study, _ = recorded(tmp_path / "s.db", [result(0, (0.1, 0.0), collapsed=True, **states)])
    assert list(zip(study.front().trial, study.front().epoch, strict=True)) == [(0, 1)]


def test_the_best_and_the_nearest_trial_beat_chance(tmp_path: Path) -> None:
    results = [result(0, (0.1, 0.0), collapsed=True), result(1, (0.3, 6.0)), result(2, (0.6, 9.0))]
    best, _ = recorded(tmp_path / "best.db", results, objectives={"survivors": "minimize"})
    assert best.best().trial == 1
    tight, tally = recorded(tmp_path / "near.db", results, constraints={"survivors": {"max": 4}})
    assert tight.front().empty and len(tally.front) == 0
    assert tight.nearest().trial == 1


def test_where_nothing_beats_chance_there_is_no_front_and_no_nearest(tmp_path: Path) -> None:
    study, tally = recorded(tmp_path / "s.db", [result(0, (0.1, 3.0)), result(1, (0.02, 20.0))])
    assert study.front().empty and study.nearest() is None and study.hypervolume() == 0.0
    assert len(tally.front) == 0 and tally.hypervolume == 0.0


def test_equal_but_for_rounding_the_first_trial_is_shown(tmp_path: Path) -> None:
    means = [0.3, 0.1 + 0.2, 0.3]
    study, tally = recorded(tmp_path / "s.db", [result(i, (mean, 4.0)) for i, mean in enumerate(means)])
    assert study.front().trial.tolist() == [0]
    assert len(tally.front) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_rows_of_a_front_are_those_that_no_other_beats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.integers(0, 30, 80) / 30, rng.integers(0, 12, 80)]).astype(float)
    unbeaten = {
        (a, s)
        for a, s in points.tolist()
        if not any(b >= a and t <= s and (b, t) != (a, s) for b, t in points.tolist())
    }
    first = [points.tolist().index([a, s]) for a, s in sorted(unbeaten, key=lambda each: each[1])]
    noisy = points + np.column_stack([rng.uniform(-1e-12, 1e-12, 80), np.zeros(80)])
    assert front_rows(points).tolist() == first
    assert front_rows(noisy).tolist() == first
