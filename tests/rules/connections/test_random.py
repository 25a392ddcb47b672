"""Random: chance prunes along the path of `magnitude`."""

import numpy as np
import torch

from tests.rules.connections.conftest import EightWeights, assert_entering_weights, events_of, highest


def test_three_events_of_eight_weights_are_the_hand_drawn_ones(monkeypatch):
    net = EightWeights("random", monkeypatch, total=3, density=0.25, warmup=0, prune_period=1)
    assert net.mask == "1111 1111"
    weights = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]
    # 8 (1 - 3/4 (1 - (2/3)^3)) = 3.8, 8 (1 - 3/4 (1 - (1/3)^3)) = 2.2, and 8 / 4 are left
    assert net.event(1, weights) == "1111 0000"
    net.numbers[0] = torch.tensor([[0.1, 0.2, 0.4, 0.3], [0.9] * 4])
    assert net.event(2) == "0011 0000"
    assert net.event(3) == "0011 0000"


def test_the_events_of_a_training_are_those_of_the_equation(monkeypatch):
    events = events_of("random", monkeypatch, density=0.2, warmup=4, prune_period=5, settle=0.25)
    assert [event.step for event in events] == [5, 10, 15, 18]
    for event in events:
        left = round(30 * (1 - 0.8 * (1 - (1 - (event.step - 4) / 14) ** 3)))
        np.testing.assert_array_equal(event.after, highest(event.drawn[0], left, event.before))
        assert_entering_weights(event, 0.0)
    assert events[-1].after.sum() == 6
