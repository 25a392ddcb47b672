"""RigL: the smallest weights leave, and the largest gradients enter."""

import math

import numpy as np

from tests.rules.connections.conftest import EightWeights, assert_entering_weights, events_of, highest


def test_three_events_of_eight_weights_are_the_hand_drawn_ones(monkeypatch):
    net = EightWeights(
        "rigl", monkeypatch, density=0.5, drop_fraction=0.5, drop_schedule="constant", rewire_period=10
    )
    assert net.mask == "1111 0000"
    weights = [[1.0, -2.0, 3.0, -4.0], [0.0, 0.0, 0.0, 0.0]]
    assert net.event(10, weights, [[0.0, 0.0, 9.0, 9.0], [1.0, -3.0, 2.0, 0.0]]) == "0011 0110"
    assert net.connections.weight.tolist() == [[0, 0, 3, -4], [0, 0, 0, 0]]
    # the connections that have just entered leave again, and one of them has the largest gradient
    assert net.event(20, None, [[2.0, 1.0, 0.0, 0.0], [1.0, -3.0, 1.0, 0.0]]) == "1011 0100"
    weights = [[9.0, 0.0, -1.0, 8.0], [0.0, 2.0, 0.0, 0.0]]
    assert net.event(30, weights, [[0.0, 4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0]]) == "1101 0001"


def test_the_events_of_a_training_are_those_of_the_published_algorithm(monkeypatch):
    events = events_of("rigl", monkeypatch, density=0.4, drop_fraction=0.45, rewire_period=3, settle=0.25)
    assert [event.step for event in events] == [3, 6, 9, 12, 15, 18]
    for event in events:
        leave = int(0.45 / 2 * (1 + math.cos(math.pi * event.step / 18)) * 12)
        stays = highest(abs(event.weight), 12 - leave, event.before)
        np.testing.assert_array_equal(event.after, stays | highest(abs(event.gradient), leave, ~stays))
        assert_entering_weights(event, 0.0)
    assert sum((event.after & ~event.before).sum() for event in events) > 5
    assert (events[-1].after == events[-1].before).all()  # the cosine ends at zero
