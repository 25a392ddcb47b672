"""Which connections a growing rule has ever tried, and which that it has grown are left, after each epoch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import attach, plastic_connections, rewire
from hebbevo.rules.connections.rule import ByCount
from hebbevo.space.knobs import table
from hebbevo.training import Candidate, CohortTraining, Rows, score
from hebbevo.training.compact import CompactStack
from hebbevo.training.stack import SingleNet, VmapStack
from hebbevo.training.trial_details import TrialDetails
from tests.training.conftest import CPU, RATES, user_problem, user_recipe


class Swapping(ByCount):
    """A third of all connections is in; at every second step a fifth of it makes room for random others."""

    name = "swapping"
    knobs = table()

    def at_first(self, k, layer):
        return layer.highest(layer.draw(0), self.left(k, layer), layer.mask)

    def is_event(self, k, step, total):
        return step % 2 == 0

    def left(self, k, layer):
        return layer.step * 0 + layer.connections // 3

    def swaps(self, k, layer):
        return layer.step * 0 + layer.connections // 15

    def drop(self, k, s, layer):
        return layer.weight.abs()

    def grow(self, k, s, layer):
        return layer.draw(1)


def build(input_shape, num_classes):
    net = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, num_classes))
    return rewire(net, Swapping(), seed=5)


def dense(input_shape, num_classes):
    return nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, num_classes))


def by_hand(the_recipe, genome):
    """The shares after each epoch of an ordinary loop, from the masks after every step."""
    split, values = user_problem(), the_recipe.training_knobs(genome)
    net = the_recipe.network.build({}, Candidate(genome).seed(the_recipe.seed))
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=values["learning_rate"], weight_decay=values["weight_decay"]
    )
    attach(net, optimizer)
    x, y = torch.from_numpy(split.x_train), torch.from_numpy(split.y_train)

    def masks():
        return torch.cat([each.masks()["weight"].flatten() for each in plastic_connections(net).values()])

    before = ever = masks()
    grown, shares = torch.zeros_like(ever), []
    for epoch in range(the_recipe.epochs):
        order = torch.from_numpy(np.random.default_rng([the_recipe.seed, epoch]).permutation(len(x)))
        for rows in order.split(the_recipe.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(net.train()(x[rows]), y[rows]).backward()
            optimizer.step()
            after = masks()
            ever, grown, before = ever | after, grown | (after & ~before), after
        shares.append((ever.double().mean().item(), ((grown & after).sum() / grown.sum()).item()))
    return shares


def cohort_of(the_recipe, how, monkeypatch):
    genomes = RATES if how != "alone" else RATES[:1]
    nets = [the_recipe.network.build({}, Candidate(each).seed(the_recipe.seed)) for each in genomes]
    stack = SingleNet(nets[0], CPU) if how == "alone" else VmapStack(nets, CPU)
    if how == "stack":
        monkeypatch.setattr(CompactStack, "of", lambda *_: None)
    model = the_recipe.network.build({}, 0)
    knobs = [the_recipe.training_knobs(each) for each in genomes]
    return CohortTraining(the_recipe, stack, knobs, model, Rows.of(user_problem(), (16,), CPU))


@pytest.mark.parametrize("how", ["alone", "stack", "compact"])
def test_the_shares_are_those_of_the_masks_after_every_step(how, monkeypatch):
    the_recipe = user_recipe(build)
    measured, *_ = cohort_of(the_recipe, how, monkeypatch).train()
    expected = by_hand(the_recipe, RATES[0])
    found = [*zip(measured.explored, measured.grown_left, strict=True)]
    assert np.allclose(found, expected)
    assert 1 / 3 < found[0][0] < found[1][0] < 1
    assert 0 < found[1][1] < 1


def test_a_network_whose_connections_do_not_grow_has_no_such_shares(monkeypatch):
    measured, *_ = cohort_of(user_recipe(dense), "compact", monkeypatch).train()
    assert measured.explored == measured.grown_left == ()
    plain = score([measured]).details.to_json()
    assert not {"explored_per_epoch", "grown_left_per_epoch"} & plain.keys()


def test_the_shares_of_a_trial_are_means_over_its_replicates_and_are_recorded(monkeypatch):
    measured, *_ = cohort_of(user_recipe(build), "compact", monkeypatch).train()
    other = replace(measured, explored=(0.5, 0.75), grown_left=(1.0, 0.5))
    details = TrialDetails.from_json(score([measured, other]).details.to_json())
    assert np.allclose(details.explored_per_epoch, np.add(measured.explored, other.explored) / 2)
    assert np.allclose(details.grown_left_per_epoch, np.add(measured.grown_left, other.grown_left) / 2)
