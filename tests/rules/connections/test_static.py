"""Static: a random mask that never changes."""

import torch
from torch import nn

from hebbevo.nn import PlasticConnections, masked
from hebbevo.rules import CONNECTIONS
from tests.rules.connections.conftest import EightWeights, events_of


def test_the_mask_of_eight_weights_is_the_hand_drawn_one_and_stays(monkeypatch):
    net = EightWeights("static", monkeypatch, density=0.5)
    assert net.mask == "1111 0000"
    for step in (10, 20, 30):
        assert not net.layer.is_event(torch.tensor(step))


def test_a_training_has_no_event(monkeypatch):
    assert events_of("static", monkeypatch, density=0.5) == []


def test_layers_under_one_seed_have_masks_of_their_own():
    block = nn.ModuleDict({name: nn.Linear(20, 20) for name in "ab"})
    net = PlasticConnections(CONNECTIONS["static"], block, ["a.weight", "b.weight"], seed=3, density=0.5)
    first, second = net.masks().values()
    assert first.sum() == second.sum() == 200
    assert 0.3 < (first == second).float().mean() < 0.7
    alone = masked("static", nn.Linear(20, 20), seed=3, density=0.5)
    assert torch.equal(first, alone.masks()["weight"])
