"""The points of a training against their definition, epoch by epoch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hebbevo.study.epoch_results import Point, points
from hebbevo.study.ledger import COPY, STOPPED, Result

STATES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5).map(float)), min_size=1, max_size=12)


def details(states: list[tuple[float, float]]) -> dict:
    accuracies, survivors = zip(*states, strict=True)
    return {"accuracy_per_epoch": list(accuracies), "survivors_per_epoch": list(survivors)}


@given(STATES)
def test_of_every_number_of_survivors_the_last_epoch_counts_and_no_other(states) -> None:
    expected = [
        Point(epoch, *state)
        for epoch, state in enumerate(states, start=1)
        if not any(later[1] == state[1] for later in states[epoch:])
    ]
    complete = Result(0, states[-1], details(states))
    assert points(complete, len(states)) == expected
    assert expected[-1] == (len(states), *states[-1])
    stopped = Result(0, None, details(states) | {STOPPED: True})
    assert points(stopped, len(states) + 3) == expected
    copied = Result(7, states[-1], details(states) | {COPY: 0})
    assert points(copied, len(states)) == expected


def test_the_best_of_noisy_epochs_with_the_same_survivors_does_not_count() -> None:
    noisy = [(0.9, 8.0), (0.95, 4.0), (0.7, 4.0), (0.99, 8.0), (0.6, 4.0), (0.8, 2.0)]
    found = points(Result(0, noisy[-1], details(noisy)), 6)
    assert found == [(4, 0.99, 8.0), (5, 0.6, 4.0), (6, 0.8, 2.0)]
    assert [point.values for point in found] == [(0.99, 8.0), (0.6, 4.0), (0.8, 2.0)]


@pytest.mark.parametrize("details", [{}, {"failure": "diverged", "seconds": 1.0}])
def test_a_failed_trial_has_no_points(details) -> None:
    assert points(Result(0, None, details), 5) == []


def test_a_trial_without_a_recorded_course_has_its_end() -> None:
    assert points(Result(0, (0.5, 3.0), {}), 5) == [(5, 0.5, 3.0)]
