"""Coactivation: connections whose ends are seldom active together leave."""

import numpy as np
import pytest
import torch

from tests.rules.connections.conftest import (
    EightWeights,
    assert_entering_weights,
    events_of,
    fresh_weights,
    highest,
)


def see(net, *rows):
    """Count the coactivations of some rows, given as texts of active inputs and outputs."""
    x = torch.tensor([[float(each) for each in row.split()[0]] for row in rows])
    y = torch.tensor([[float(each) for each in row.split()[1]] for row in rows])
    net.connections.tensors["together"].copy_(y.T @ x)


@pytest.mark.parametrize(
    ("criterion", "masks"),
    [
        # at first 0 and 1 are the inputs that are seldom active with output 0, and 0 and 2 have small weights
        ("coactivation", ["0011 1100", "0011 1100", "0110 1010"]),
        ("both", ["0111 1000", "0011 1100", "0010 1110"]),
        ("weighted_magnitude", ["0101 1100", "0001 1110", "0011 1010"]),
    ],
)
def test_three_events_of_eight_weights_are_the_hand_drawn_ones(monkeypatch, criterion, masks):
    net = EightWeights(
        "coactivation", monkeypatch, density=0.5, drop_fraction=0.5, rewire_period=10, criterion=criterion
    )
    assert net.mask == "1111 0000"
    draws = [[0.0, 0.0, 0.0, 0.0], [0.9, 0.8, 0.1, 0.1]]
    weights = [[0.1, 5.0, 0.2, 6.0], [7.0, 7.0, 7.0, 7.0]]
    see(net, "1000 10", "0100 10", "0100 10", "0011 10", "0011 10", "0011 10", "0001 10")
    found = [net.event(10, weights, draws=draws)]
    see(net, "1111 01", "1111 11", "0010 10", "0001 10")
    found.append(net.event(20, [[9.0, 1.0, 3.0, 2.0], [4.0, 0.5, 9.0, 9.0]], draws=draws))
    see(net, "0110 10", "1010 01", "0101 10", "1010 01")
    draws = [[0.0, 0.5, 0.6, 0.0], [0.7, 0.0, 0.9, 0.0]]
    found.append(net.event(30, [[1.0, 1.0, 4.0, 3.0], [2.0, 5.0, 1.0, 1.0]], draws=draws))
    assert found == masks


@pytest.mark.parametrize("criterion", ["coactivation", "both", "weighted_magnitude"])
def test_the_events_of_a_training_are_those_of_the_published_rule(monkeypatch, criterion):
    knobs = dict(density=0.5, drop_fraction=0.4, rewire_period=5, criterion=criterion)
    events = events_of("coactivation", monkeypatch, **knobs)
    assert [event.step for event in events] == [5, 10, 15, 20]
    for event in events:
        together = np.einsum("rj,ri->ji", event.outputs > 0, event.inputs > 0, dtype=float)
        size = abs(event.weight)
        by = {"weighted_magnitude": size * together}.get(criterion, together)
        keep = 15 - int(0.4 * 15)
        stays = stable(by, keep, event.before)
        if criterion == "both":
            stays |= highest(size, keep, event.before)
        entering = highest(event.drawn[1], 15 - stays.sum(), ~stays)
        np.testing.assert_array_equal(event.after, stays | entering)
        assert_entering_weights(event, fresh_weights(event))


def stable(counts, number, among):
    """The highest counts, of equal ones the first."""
    flat = np.where(among, counts, -1).ravel()
    found = np.zeros(flat.size, dtype=bool)
    found[np.argsort(-flat, kind="stable")[:number]] = True
    return found.reshape(among.shape) & among
