"""The control: an ordinary network under the same schedule."""

import copy

import pytest
import torch
from torch import nn

from hebbevo.errors import UsageError
from hebbevo.nn import Dense, Stamina, attach
from hebbevo.nn.layer_graph import find_layer_names
from hebbevo.rules import UNITS


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def nets():
    """A dense net and the same network with a plain ReLU."""
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(5, 7), Dense(7), nn.Linear(7, 3))
    plain = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    plain.load_state_dict({name: value for name, value in dense.state_dict().items() if name[0] != "1"})
    return dense, plain


def train(net, optimizer, x, y):
    for _ in range(10):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()


def test_it_is_trained_as_a_relu_and_no_unit_is_pruned():
    dense, plain = nets()
    x, y = torch.randn(16, 5), torch.randint(3, (16,))
    optimizers = [torch.optim.AdamW(net.parameters(), lr=0.05) for net in (dense, plain)]
    attach(dense, optimizers[0])
    for net, optimizer in zip((dense, plain), optimizers, strict=True):
        train(net, optimizer, x, y)
    assert torch.equal(dense(x), plain(x))
    assert dense[1].alive.tolist() == [True] * 7
    assert not dense[1].is_event(torch.arange(1, 100)).any()


def test_it_counts_the_steps_of_training_only():
    unit = Dense(4)
    unit(torch.ones(2, 4))
    unit.eval()(torch.ones(2, 4))
    assert unit.steps.item() == 1


def test_settling_brings_the_learning_rate_to_zero():
    dense, _ = nets()
    dense[1] = Dense(7, settle=0.5)
    optimizer = torch.optim.SGD(dense.parameters(), lr=1.0)
    attach(dense, optimizer, total_steps=4)
    moved = []
    for _ in range(4):
        optimizer.zero_grad()
        dense(torch.randn(8, 5)).sum().backward()
        before, slope = dense[2].bias.detach().clone(), dense[2].bias.grad.clone()
        optimizer.step()
        moved.append(((before - dense[2].bias) / slope).mean().item())
    assert moved == pytest.approx([1, 1, 1, 0.5])


def test_its_settling_phase_is_that_of_stamina():
    assert UNITS["dense"].knobs["settle"] == UNITS["stamina"].knobs["settle"]


def test_a_settle_out_of_range_is_one_line():
    with pytest.raises(UsageError, match=r"^Dense: settle: 1\.5 is outside its range; "):
        Dense(3, settle=1.5)


def test_it_takes_an_axis_and_a_seed_as_every_rule_does():
    x = torch.randn(2, 6, 5, 5)
    for units in (Dense(6, dim=1, seed=3), Dense(6, dim=1, settle=0.25)):
        assert torch.equal(units(x), x.relu())
        assert units.dim == 1
        assert units.alive.shape == (6,)
    assert units.settle == 0.25


def test_between_convolutions_it_has_the_same_layers_around_it_as_stamina():
    net, other = (
        nn.Sequential(nn.Conv2d(1, 6, 3), units(6, dim=1), nn.MaxPool2d(2), nn.Conv2d(6, 2, 1))
        for units in (Dense, Stamina)
    )
    assert find_layer_names(net) == find_layer_names(other)
    assert find_layer_names(net)["1"].exclusive
    before = copy.deepcopy(net.state_dict())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net(torch.randn(2, 1, 8, 8)).sum().backward()
    optimizer.step()
    assert all(
        torch.equal(before[name], value) or name == "1.steps" for name, value in net.state_dict().items()
    )


def test_an_unknown_knob_is_one_line():
    with pytest.raises(UsageError, match=r"^Dense: unknown knob 'warmup'; known: settle$"):
        Dense(3, warmup=1)
