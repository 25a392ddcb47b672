"""Cosine: connections between neurons that are active alike enter."""

import itertools

import numpy as np
import pytest
import torch

from hebbevo.nn import masked
from hebbevo.rules.connections.cosine import DROPS, GROWTHS, VARIANTS
from tests.rules.connections.conftest import (
    EightWeights,
    assert_entering_weights,
    events_of,
    fresh_weights,
    highest,
)

FALLING = [1 / step for step in range(1, 25)]


def see(net, *rows):
    """Sum up some rows, each four inputs and two outputs."""
    x, y = torch.tensor(rows)[:, :4], torch.tensor(rows)[:, 4:]
    tensors = net.connections.tensors
    tensors["together"].copy_(y.T @ x)
    tensors["inputs"].copy_(x.square().sum(0).expand(2, 4))
    tensors["outputs"].copy_(y.square().sum(0).unsqueeze(1).expand(2, 4))


def net_of(monkeypatch, **knobs):
    shared = dict(density=0.5, drop_fraction=0.5, rewire_period=10)
    return EightWeights("cosine", monkeypatch, **shared, **knobs)


def test_three_events_of_eight_weights_are_the_hand_drawn_ones(monkeypatch):
    net = net_of(monkeypatch, grow_by="cosine", drop_by="magnitude")
    assert net.mask == "1111 0000"
    weights = [[1.0, -2.0, 3.0, -4.0], [0.0, 0.0, 0.0, 0.0]]
    draws = [[0.5] * 4] * 2
    see(net, [1.0, 0, 0, 2, 0, 4], [1.0, 3, 0, 0, 2, 0])  # output 1 is as input 3, output 0 as input 1
    assert net.event(10, weights, draws=draws) == "0111 0001"
    assert net.connections.weight[0].tolist() == [0, -2, 3, -4]  # what is picked again keeps its weight
    weights = [[0.0, 1.0, 3.0, -4.0], [0.0, 0.0, 0.0, -2.0]]
    see(net, [3.0, 0, 4, 0, 1, 0], [4.0, 0, -3, 1, 0, 1])  # -3/5 counts as 3/5
    assert net.event(20, weights, draws=draws) == "0011 1001"
    see(net, [0.0, 0, 0, 1, 0, 0])  # silent outputs are like nothing: the first places are picked
    weights = [[0.0, 0.0, 3.0, -4.0], [1.0, 0.0, 0.0, -2.0]]
    assert net.event(30, weights, draws=draws) == "1111 0000"


def test_unlike_ends_leave_by_cosine(monkeypatch):
    net = net_of(monkeypatch, grow_by="random", drop_by="cosine")
    see(net, [1.0, 3, 2, 0, 1, 0], [0.0, 0, 1, 1, 0, 1])
    # S of output 0: 1, 1, .9, 0: the last two leave
    draws = [[0.0, 0.0, 0.1, 0.2], [0.9, 0.3, 0.8, 0.1]]
    weights = [[1.0, 1.0, 9.0, 9.0], [0.0, 0.0, 0.0, 0.0]]
    assert net.event(10, weights, draws=draws) == "1100 1010"


def test_small_weights_between_unlike_ends_leave_by_weighted_cosine(monkeypatch):
    net = net_of(monkeypatch, grow_by="random", drop_by="weighted_cosine")
    see(net, [1.0, 3, 2, 0, 1, 0], [0.0, 0, 1, 1, 0, 1])
    # |w| S of output 0: 1, 1, 8, 0, where the first two are neither the smallest |w| nor the lowest S
    draws = [[0.0, 0.0, 0.1, 0.2], [0.9, 0.3, 0.8, 0.1]]
    weights = [[-1.5, 1.0, 9.0, 9.0], [0.0, 0.0, 0.0, 0.0]]
    assert net.event(10, weights, draws=draws) == "1010 1010"


def similarity_of(event):
    x, y = event.inputs, np.maximum(event.outputs, 0)
    return abs(y.T @ x) / np.sqrt(np.outer((y**2).sum(0), (x**2).sum(0)))


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("growth", GROWTHS)
def test_the_events_of_a_training_are_those_of_the_published_algorithms(monkeypatch, growth, drop):
    knobs = dict(density=0.5, drop_fraction=0.4, rewire_period=4, settle=0.1, plateau=2)
    losses = [*FALLING[:9], *[5.0] * 15]  # no event after the second has a lower loss
    events = events_of("cosine", monkeypatch, losses=losses, grow_by=growth, drop_by=drop, **knobs)
    assert [event.step for event in events] == [4, 8, 12, 16, 20]
    repicked = 0
    for number, event in enumerate(events):
        similarity, drawn = similarity_of(event), event.drawn[1]
        leave = int(0.4 * 15)
        size = abs(event.weight)
        kept_by = {"magnitude": size, "cosine": similarity, "weighted_cosine": size * similarity}[drop]
        stays = highest(kept_by, 15 - leave, event.before)
        score = {"random": drawn, "cosine_probability": drawn ** (1 / similarity)}.get(growth, similarity)
        if growth == "sequential" and number >= 3:  # two events without a lower loss
            score = drawn
        entering = highest(score, leave, ~stays)
        if growth == "simultaneous":
            again = entering & event.before
            entering &= ~again
            entering |= highest(drawn, again.sum(), ~stays & ~entering & ~again)
            repicked += again.sum()
        np.testing.assert_array_equal(event.after, stays | entering)
        assert event.after.sum() == 15
        assert_entering_weights(event, fresh_weights(event))
    assert repicked or growth != "simultaneous"


def test_growth_in_proportion_draws_each_connection_as_often_as_its_similarity_says(monkeypatch):
    net = net_of(monkeypatch, grow_by="cosine_probability", drop_by="magnitude")
    net.layer.drop_fraction.fill_(0.25)  # one connection
    weights = [[0.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]]
    first = net.connections.mask.clone()
    generator, counts = torch.Generator().manual_seed(0), torch.zeros(2, 4)
    for _ in range(2000):
        net.connections.mask.copy_(first)
        see(net, [1.0, 0, 0, 0, 3, 3], [0.0, 1, 1, 1, 1, 1])
        before = torch.tensor([[True, False, False, False], [True] * 4])
        net.event(10, weights, draws=torch.rand(2, 4, generator=generator).tolist())
        counts += net.connections.mask & before
    probable = torch.tensor([[3.0, 0, 0, 0], [3, 1, 1, 1]])
    torch.testing.assert_close(counts / 2000, probable / probable.sum(), atol=0.03, rtol=0)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_published_algorithms_are_values_of_two_knobs(name):
    knobs = masked("cosine", torch.nn.Linear(4, 2), seed=1, **VARIANTS[name])
    assert GROWTHS[int(knobs.grow_by)] == VARIANTS[name]["grow_by"]
    assert DROPS[int(knobs.drop_by)] == VARIANTS[name]["drop_by"]


def test_five_algorithms_of_the_first_version_are_all_pairs_but_set():
    five = {tuple(each.values()) for name, each in VARIANTS.items() if "CTRE" not in name}
    assert len(five) == 5
    growths, drops = ("random", "cosine", "cosine_probability"), ("magnitude", "weighted_cosine")
    assert five == set(itertools.product(growths, drops)) - {("random", "magnitude")}
