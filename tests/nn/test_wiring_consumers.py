"""Layers that read units: mean outputs are folded into biases, and contributions count weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import InputStamina, Stamina, attach
from tests.nn.conftest import CALM, SGD, STILL, Mean, TwoHeads, exhaust, pruned

# folding into biases


def test_pruning_a_constant_unit_changes_no_output(training):
    one = training(Stamina(6, handover=True, **CALM | dict(warmup=4)), **STILL)
    with torch.no_grad():
        one.before.weight[2] = 0.0
        one.before.bias[2] = 1.7
    fresh = torch.randn(50, 4)
    before = one.net.eval()(fresh)
    one.net.train()
    for _ in range(3):
        one.step()
    one.exhaust(2)
    outgoing = one.behind.weight[:, 2].clone()
    one.step()
    assert one.pruned() == [2]
    torch.testing.assert_close(one.net.eval()(fresh), before, rtol=0, atol=2e-6)
    assert not torch.allclose(before, before - 1.7 * outgoing, atol=0.1)


def test_the_running_mean_output_of_pruned_units_is_folded_into_the_next_bias(training):
    one = training(Stamina(6, handover=True, **CALM | dict(warmup=7)), **STILL)
    bias = one.behind.bias.clone()
    means = []
    for step in range(7):
        x = torch.randn(16, 4)
        means.append(F.relu(one.before(x)).mean(0))
        if step == 6:
            one.exhaust(1, 5)
        outgoing = one.behind.weight.clone()
        one.step(x)
    assert one.pruned() == [1, 5]
    weights = [0.9**age for age in range(7)][::-1]
    mean = sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights)
    expected = bias + outgoing[:, 1] * mean[1] + outgoing[:, 5] * mean[5]
    torch.testing.assert_close(one.behind.bias, expected)


def test_outputs_from_before_a_unit_was_regrown_are_not_folded(training):
    one = training(Stamina(6, handover=True, regrowth_rate=1.0, rebirth="old", **CALM), **STILL)
    one.step()
    one.exhaust(3)
    one.step()
    one.step()  # the unit is regrown
    bias = one.behind.bias.clone()
    x = torch.randn(16, 4)
    one.exhaust(3)
    one.step(x)
    assert one.pruned() == [3]
    expected = bias + one.behind.weight[:, 3] * F.relu(one.before(x))[:, 3].mean()
    torch.testing.assert_close(one.behind.bias, expected)


def test_without_folding_the_next_bias_stays(training):
    one = training(Stamina(6, **CALM), **STILL)
    bias = one.behind.bias.clone()
    one.exhaust(1)
    one.step()
    assert one.pruned() == [1]
    assert torch.equal(one.behind.bias, bias)


class Layers(nn.Module):
    """A convolution, 6 channels of which the third is constant, and ``behind``."""

    def __init__(self, *behind, **knobs):
        super().__init__()
        self.before = nn.Conv2d(3, 6, 3)
        with torch.no_grad():
            self.before.weight[2] = 0.0
            self.before.bias[2] = 1.7
        self.units = Stamina(6, dim=1, handover=True, **CALM | dict(warmup=4) | knobs)
        self.behind = nn.Sequential(*behind)

    def forward(self, x):
        return self.behind(self.units(self.before(x)))


def inputs_and_outputs_before_pruning(net, size):
    """Images and what the net makes of them; then its constant channel is pruned by the engine."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    fresh = torch.randn(20, 3, size, size)
    before = net.eval()(fresh)
    net.train()
    for _ in range(4):
        exhaust(net.units, 2)
        net(torch.randn(8, 3, size, size)).sum().backward()
        optimizer.step()
    return fresh, before


@pytest.mark.parametrize(
    "behind",
    [
        [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 3)],
        [nn.AvgPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(24, 3)],
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)],
        [Mean(), nn.Linear(6, 3)],
        [nn.Conv2d(6, 8, 3)],
        [nn.MaxPool2d(2, stride=1), nn.Conv2d(6, 9, 3, groups=3)],
        [nn.Conv2d(6, 12, (3, 2), groups=6)],
        [nn.Conv2d(6, 8, 3, padding=1, padding_mode="replicate")],
        [TwoHeads()],
    ],
    ids=["max", "avg", "adaptive", "mean", "conv", "grouped", "depthwise", "replicate", "two consumers"],
)
def test_pruning_a_constant_channel_changes_no_output(behind):
    net = Layers(*behind)
    fresh, before = inputs_and_outputs_before_pruning(net, size=6)
    assert net.units.alive.tolist() == [True, True, False, True, True, True]
    torch.testing.assert_close(net.eval()(fresh), before, rtol=0, atol=1e-5)
    net.units.alive[3] = False  # another one makes a difference
    assert not torch.allclose(net(fresh), before, rtol=0, atol=1e-3)


def test_folding_before_a_convolution_that_is_padded_with_zeros_is_exact_except_at_its_border():
    net = Layers(nn.Conv2d(6, 8, 3, padding=1))
    fresh, before = inputs_and_outputs_before_pruning(net, size=8)
    assert not net.units.alive[2]
    after = net.eval()(fresh)
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(after[inside], before[inside], rtol=0, atol=1e-5)
    assert not torch.allclose(after, before, rtol=0, atol=1e-3)


class AlongTime(nn.Module):
    """Channels of a convolution, whose places a linear layer reads; as many as there are channels."""

    def __init__(self):
        super().__init__()
        self.conv, self.units, self.along_time = (
            nn.Conv1d(8, 8, 1),
            Stamina(8, dim=1, **CALM),
            nn.Linear(8, 8),
        )

    def forward(self, x):
        return self.along_time(self.units(self.conv(x)))


class AlongChannels(AlongTime):
    """Time steps, which a linear layer makes, and a convolution over as many channels."""

    def __init__(self):
        super().__init__()
        self.units = Stamina(8, **CALM)

    def forward(self, x):
        return self.conv(self.units(self.along_time(x)))


@pytest.mark.parametrize(
    ("make", "axis", "changed"),
    [
        (AlongTime, 1, {"conv.weight", "conv.bias"}),
        (AlongChannels, 2, {"along_time.weight", "along_time.bias"}),
    ],
)
def test_where_sizes_coincide_along_other_axes_no_weight_of_another_axis_changes(make, axis, changed):
    net, x = make(), torch.randn(5, 8, 8)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    net.units.register_forward_hook(lambda units, args, y: y.index_fill(axis, torch.tensor([3]), 0))
    expected = net.eval()(x)
    before = {name: each.clone() for name, each in net.named_parameters()}
    exhaust(net.train().units, 3)
    net(x).sum().backward()
    optimizer.step()
    net.units._forward_hooks.clear()
    assert pruned(net.units) == [3]
    assert {name for name, each in net.named_parameters() if not torch.equal(each, before[name])} <= changed
    torch.testing.assert_close(net.eval()(x), expected)


# contribution


def test_contribution_counts_the_weights_of_all_consumers():
    net = nn.Sequential(nn.Conv2d(3, 6, 3), Stamina(6, dim=1, activity="contribution", **CALM), TwoHeads())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(net, optimizer)
    for _ in range(3):
        to_one, to_other = net[2].one.weight.detach(), net[2].other.weight.detach()
        squares = to_one.square().sum((0, 2, 3)) + to_other.square().sum(0)
        torch.testing.assert_close(net[1].outgoing, squares.sqrt())
        optimizer.zero_grad()
        net(torch.randn(8, 3, 6, 6)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("classify", [False, True])
def test_by_contribution_noise_inputs_are_pruned_before_informative_ones(classify):
    net = nn.Sequential(
        InputStamina(6, activity="contribution", hebbian_threshold=0.3, warmup=150, max_deaths=1.0),
        nn.Linear(6, 2),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    attach(net, optimizer)
    for _ in range(200):
        x = torch.randn(64, 6)
        score = x[:, 0] - 2 * x[:, 2] + 1.5 * x[:, 5]
        out = net(x)
        loss = (
            F.cross_entropy(out, (score > 0).long())
            if classify
            else F.mse_loss(out, torch.stack([score, -score], 1))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert net[0].alive.tolist() == [True, False, True, False, False, True]


def test_contribution_follows_the_outgoing_weights(training):
    one = training(Stamina(6, activity="contribution", **CALM | dict(prune_period=3)), **SGD)
    torch.testing.assert_close(one.units.outgoing, one.behind.weight.norm(dim=0))
    for _ in range(3):
        one.step()
    torch.testing.assert_close(one.units.outgoing, one.behind.weight.norm(dim=0))
