"""The usage rule by hand and against its published arithmetic."""

import numpy as np
import pytest

from tests.rules.conftest import (
    assert_lowest_leave,
    covariance_of,
    deaths_of,
    hand_drawn,
    trained_events,
    unexplained,
)


def published(event):
    """Scores by equations 1 and 2: the lowest unit leaves, all others are fitted anew, and so on."""
    plain = covariance_of(event)
    left = np.flatnonzero(event.before).tolist()
    ridge = event.knobs["ridge"] * np.diag(plain)[left].mean()
    with_ridge = plain + ridge * np.eye(len(plain))

    def all_usages():
        found = np.zeros(len(plain))
        for unit in left:
            others = [other for other in left if other != unit]
            found[unit] = (
                event.outgoing[unit] ** 2 * plain[unit, unit] * unexplained(with_ridge, unit, others)
            )
        return found

    usages = all_usages()
    mean = usages[left].mean()
    for _ in range(event.deaths - 1):
        lowest = min(left, key=lambda unit: usages[unit])
        left.remove(lowest)
        usages[left] = all_usages()[left]
    return usages / mean


def test_of_twins_the_weaker_one_leaves_and_the_other_stays():
    events = hand_drawn("usage")
    assert deaths_of(events) == "dac"  # by contribution it is c before a
    # without a its twin b is no longer redundant: 9 * 1 against 1.6875, each less what the other one says
    apart = 1 - 0.25**2 / 1.6875 / 1.0
    assert events[2].scores[2:] == pytest.approx(
        np.array([9, 1.6875]) * apart / ((9 + 1.6875) * apart / 2), rel=0.05
    )


@pytest.mark.parametrize(("memory", "ridge"), [(0.5, 0.01), (1.0, 0.01), (0.98, 1e-6), (0.98, 1.0)])
def test_scores_are_those_of_the_equation_at_every_event(memory, ridge):
    events = trained_events("usage", memory=memory, ridge=ridge)
    assert [event.deaths for event in events] == [3, 2, 1, 1]
    for event in events:
        expected = published(event)
        assert event.scores == pytest.approx(expected, rel=1e-6)
        assert_lowest_leave(event, expected)


def test_a_silent_unit_and_a_unit_that_nothing_reads_score_zero():
    events = hand_drawn("usage", schedule="threshold", prune_period=1, min_neurons=0, max_deaths=1.0)
    assert events[0].scores[0] == 0
    assert [event.after.tolist() for event in events] == [[False, True, True, True]] * 3
