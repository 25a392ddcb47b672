"""SET: weights next to zero leave, and random connections enter."""

import numpy as np
import pytest

from tests.rules.connections.conftest import (
    EightWeights,
    assert_entering_weights,
    events_of,
    fresh_weights,
    highest,
)


def test_three_events_of_eight_weights_are_the_hand_drawn_ones(monkeypatch):
    net = EightWeights("set", monkeypatch, density=0.75, drop_fraction=0.5, rewire_period=10)
    assert net.mask == "1111 1100"  # the six highest of the first draws
    # of 1, 2, 4 and of -1, -2, -4 the smallest one leaves: half of three, rounded down
    weights = [[1.0, 2.0, 4.0, -1.0], [-2.0, -4.0, 0.0, 0.0]]
    draws = [[0.1, 0.0, 0.0, 0.2], [0.0, 0.0, 0.9, 0.8]]
    assert net.event(10, weights, draws=draws) == "0110 1111"
    # two weights of zero leave, and one of 2, 4 and of -2, -4; two of the four free places enter again
    weights = [[0.0, 2.0, 4.0, 0.0], [-2.0, -4.0, 0.0, 0.0]]
    draws = [[0.9, 0.3, 0.0, 0.8], [0.2, 0.0, 0.7, 0.6]]
    assert net.event(20, weights, draws=draws) == "1011 0111"
    # no weight is negative: half of six positive ones leaves
    weights = [[6.0, 0.0, 5.0, 4.0], [0.0, 3.0, 2.0, 1.0]]
    draws = [[0.0, 0.5, 0.0, 0.0], [0.6, 0.1, 0.4, 0.2]]
    assert net.event(30, weights, draws=draws) == "1111 1010"


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_the_events_of_a_training_are_those_of_the_published_algorithm(monkeypatch, schedule):
    knobs = dict(density=0.5, drop_fraction=0.4, drop_schedule=schedule, rewire_period=4, settle=0.1)
    events = events_of("set", monkeypatch, **knobs)
    assert [event.step for event in events] == [4, 8, 12, 16, 20]
    for event in events:
        fraction = 0.4 * (1 if schedule == "constant" else 1 - event.step / 21)
        stays = np.zeros_like(event.before)
        for sign in (1, -1):
            own = event.before & (sign * event.weight > 0)
            stays |= highest(abs(event.weight), own.sum() - int(fraction * own.sum()), own)
        entering = highest(event.drawn[1], 15 - stays.sum(), ~stays)
        np.testing.assert_array_equal(event.after, stays | entering)
        assert_entering_weights(event, fresh_weights(event))
    assert sum((event.after & ~event.before).sum() for event in events) > 5
