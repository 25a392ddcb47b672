"""The decorrelation rule by hand and against its arithmetic."""

import numpy as np
import pytest

from tests.rules.conftest import (
    assert_lowest_leave,
    covariance_of,
    deaths_of,
    hand_drawn,
    trained_events,
)


def test_of_two_correlated_units_the_one_that_contributes_less_leaves():
    events = hand_drawn("decorrelation")
    assert deaths_of(events) == "dac"  # what never varies says nothing, and b says all that a says
    of_b, of_c = 3 * 1.0, 1 * 1.6875**0.5  # a, c and d are weaker than b
    with_c = 0.25 / 1.6875**0.5  # its correlation with b, of deviation 1
    left = of_c * (1 - with_c**2) ** 0.5
    assert events[0].scores == pytest.approx([0, 0, 4 * of_b / (of_b + left), 4 * left / (of_b + left)])
    assert events[2].scores == pytest.approx([0, 0, 2 * of_b / (of_b + left), 2 * left / (of_b + left)])


@pytest.mark.parametrize("memory", [0.5, 1.0])
def test_scores_are_those_of_the_equation_at_every_event(memory):
    for event in trained_events("decorrelation", memory=memory):
        covariance = covariance_of(event)
        spread = np.sqrt(np.diag(covariance))
        contribution = spread * event.outgoing
        expected = np.zeros(len(spread))
        for unit in np.flatnonzero(event.before):
            rivals = [
                abs(covariance[unit, other]) / spread[unit] / spread[other]
                for other in np.flatnonzero(event.before)
                if contribution[other] > contribution[unit]
            ]
            expected[unit] = contribution[unit] * (1 - max(rivals, default=0) ** 2) ** 0.5
        expected /= expected[event.before].mean()
        assert event.scores == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert_lowest_leave(event, expected)
