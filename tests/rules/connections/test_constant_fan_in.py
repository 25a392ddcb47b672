"""Constant fan-in: RigL with equally many connections for every neuron."""

import math

import numpy as np
import torch
from torch import nn

from hebbevo.nn import PlasticUnits, attach, masked
from hebbevo.rules import UNITS
from tests.rules.connections.conftest import EightWeights, assert_entering_weights, events_of, highest


def test_three_events_of_eight_weights_are_the_hand_drawn_ones(monkeypatch):
    net = EightWeights(
        "constant_fan_in", monkeypatch, density=0.5, drop_fraction=0.5, drop_schedule="constant",
        rewire_period=10,
    )  # fmt: skip
    assert net.mask == "1100 1100"
    # both weights of the first neuron are small: it gets two others
    weights = [[1.0, -2.0, 0.0, 0.0], [3.0, -4.0, 0.0, 0.0]]
    assert net.event(10, weights, [[0.0, 0.0, -1.0, 2.0], [9.0, 9.0, 9.0, 9.0]]) == "0011 1100"
    weights = [[0.0, 0.0, 5.0, 1.0], [2.0, 6.0, 0.0, 0.0]]
    assert net.event(20, weights, [[0.0, 3.0, 0.0, 1.0], [1.0, 0.0, -3.0, 0.0]]) == "0110 0110"
    # a connection that leaves may enter again
    weights = [[0.0, 1.0, 5.0, 0.0], [0.0, 6.0, 2.0, 0.0]]
    assert net.event(30, weights, [[0.0, 3.0, 0.0, 1.0], [1.0, 0.0, 0.0, -3.0]]) == "0110 0101"


def test_the_events_of_a_training_are_those_of_the_published_algorithm(monkeypatch):
    knobs = dict(density=0.5, drop_fraction=0.45, rewire_period=3, settle=0.25)
    events = events_of("constant_fan_in", monkeypatch, **knobs)
    assert [event.step for event in events] == [3, 6, 9, 12, 15, 18]
    for event in events:
        leave = int(0.45 / 2 * (1 + math.cos(math.pi * event.step / 18)) * 15)
        stays = highest(abs(event.weight), 15 - leave, event.before)
        after = stays.copy()
        for neuron in range(5):
            lacks = 3 - stays[neuron].sum()
            after[neuron] |= highest(abs(event.gradient[neuron]), lacks, ~stays[neuron])
        np.testing.assert_array_equal(event.after, after)
        assert (event.after.sum(1) == 3).all()
        assert_entering_weights(event, 0.0)
    assert sum((event.after & ~event.before).sum() for event in events) > 5


def test_living_neurons_share_the_connections_of_pruned_ones():
    torch.manual_seed(0)
    layer = masked("constant_fan_in", nn.Linear(12, 8), seed=1, density=0.25, rewire_period=2)
    units = PlasticUnits(UNITS["random"], 8, seed=2, schedule="target", target=4, events=1, warmup=3)
    net = nn.Sequential(layer, units, nn.Linear(8, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(net, optimizer, total_steps=12)
    for step in range(1, 13):
        optimizer.zero_grad()
        net(torch.randn(16, 12)).square().sum().backward()
        optimizer.step()
        fan_in = layer.masks()["weight"].sum(1)
        if step == 2:
            assert (fan_in == 3).all()
    assert units.alive.sum() == 4
    assert (fan_in == torch.where(units.alive, 6, 0)).all()
