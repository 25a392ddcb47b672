"""Iterative magnitude: rounds of pruning and training, with or without the early weights."""

import numpy as np
import pytest
import torch

from tests.rules.connections.conftest import EightWeights, events_of, highest


def test_three_events_of_eight_weights_are_the_hand_drawn_ones(monkeypatch):
    net = EightWeights("iterative_magnitude", monkeypatch, total=40, rounds=3, quality=1.0)
    # the deviation is sqrt(22.5), 4.7
    assert net.event(10, [[1.0, -5.0, 6.0, -4.0], [5.0, -6.0, 4.0, -1.0]]) == "0110 1100"
    # of -3, 3, 3, -3 the deviation is 3, and none is below it
    assert net.event(20, [[0.0, -3.0, 3.0, 0.0], [3.0, -3.0, 0.0, 0.0]]) == "0110 1100"
    # of 1, 3, 5, 7 it is sqrt(5), 2.2
    assert net.event(30, [[0.0, 1.0, 3.0, 0.0], [5.0, 7.0, 0.0, 0.0]]) == "0010 1100"
    assert not net.layer.is_event(torch.tensor(40))


def test_a_share_of_what_is_left_leaves_in_every_round(monkeypatch):
    net = EightWeights("iterative_magnitude", monkeypatch, total=40, rounds=3, share=0.5)
    weights = [[1.0, -2.0, 3.0, -4.0], [5.0, -6.0, 7.0, -8.0]]
    assert [net.event(step, weights) for step in (10, 20, 30)] == ["0000 1111", "0000 0011", "0000 0001"]


@pytest.mark.parametrize("rewind", [0, 1, 3])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_events_of_a_training_are_those_of_the_papers(monkeypatch, share, rewind):
    knobs = dict(rounds=3, quality=0.5, share=share, rewind_step=rewind, settle=0.25)
    events = events_of("iterative_magnitude", monkeypatch, **knobs)
    assert [event.step for event in events] == [5, 9, 14]  # a quarter of 18 steps, 2 and 3 of them
    first = first_weights()
    for event in events:
        weight, before = event.weight, event.before
        size = abs(weight)
        if share:
            after = highest(size, round(float((1 - np.float32(share)) * before.sum())), before)
        else:
            after = before & (size >= 0.5 * weight[before].std())
        np.testing.assert_array_equal(event.after, after)
        assert 0 < after.sum() < before.sum()
        if rewind == 1:
            np.testing.assert_allclose(event.weight_after, np.where(after, first, 0), rtol=1e-7)
        elif rewind == 0:
            np.testing.assert_array_equal(event.weight_after, np.where(after, weight, 0))
    if rewind == 3:  # the same early weights after every round, which are not the first ones
        last = events[-1].after
        for event in events:
            np.testing.assert_array_equal(event.weight_after[last], events[-1].weight_after[last])
        assert not np.allclose(events[-1].weight_after[last], first[last])


def first_weights():
    torch.manual_seed(0)
    return torch.nn.Linear(6, 5).weight.detach().double().numpy()
