"""Which weights may be kept: all of networks that can be on the front, by brute force."""

import math

import numpy as np

from hebbevo.objectives import pareto
from hebbevo.objectives.goal import Goal
from hebbevo.training.keeping import Keeping, beats


def points(rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    """Points with many ties."""
    return [(float(a) / 10, float(s)) for a, s in rng.integers(1, 10, (count, 2))]


def test_what_is_beaten_is_never_on_the_front_and_all_else_is_admitted() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        known, new = points(rng, 8), points(rng, 1)[0]
        front = [known[row] for row in pareto.front(np.array(known))]
        keeping = Keeping(tuple(front), Goal(), chance=0.0)
        on_front = len(pareto.front(np.array([new, *known]))) and 0 in pareto.front(np.array([new, *known]))
        assert keeping.admits(new) is bool(on_front)  # of equal points the first one is on the front
        assert any(beats(point, new) for point in known) is not keeping.admits(new)


def test_constraints_chance_and_failures_are_respected() -> None:
    goal = Goal(constraints={"survivors": (None, 40.0)})
    keeping = Keeping((), goal, chance=0.25)
    assert keeping.admits((0.3, 40.0))
    assert not keeping.admits((0.3, 41.0))
    assert not keeping.admits((0.25, 10.0))
    assert not keeping.admits((math.nan, 10.0))


def test_with_one_objective_the_best_trial_is_admitted_though_an_earlier_epoch_beats_it() -> None:
    keeping = Keeping(((0.95, 10.0),), Goal(objectives=("accuracy",)), chance=0.0, best=-0.9)
    assert keeping.admits((0.92, 50.0), is_last=True)
    assert not keeping.admits((0.92, 50.0))
    assert not keeping.admits((0.89, 50.0), is_last=True)
