"""Similarity matching as a credit rule, against both of its running means written down, and eigenvectors."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hebbevo
from hebbevo.networks import Architecture
from hebbevo.nn import PlasticUnits, attach, credited
from hebbevo.rules import UNITS
from hebbevo.training.stack import SingleNet, VmapStack

KNOBS = {"matching_rate": 0.2, "matching_decay": 0.3, "matching_leak": 0.05}


def layer_of(layer, **knobs):
    return credited("similarity_matching", layer.double(), seed=1, **(KNOBS | knobs)).double()


def minibatches(number, *shape):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(number)]


class Literal:
    """W and L as the equations have them, and filters made of both; x is (rows, inputs)."""

    def __init__(self, filters, rate, decay, leak):
        self.lateral, self.leak = np.eye(len(filters)), leak
        self.hebbian = (1 + leak) * filters
        self.rate, self.decay = rate, decay

    @property
    def filters(self):
        return np.linalg.inv(self.lateral + self.leak * np.eye(len(self.lateral))) @ self.hebbian

    def learn(self, x, t):
        r = x @ self.filters.T
        rate = self.rate / (1 + self.decay * t)
        self.hebbian = self.hebbian + rate * (r.T @ x / len(x) - self.hebbian)
        self.lateral = self.lateral + rate * (r.T @ r / len(x) - self.lateral)


def literal_of(layer):
    knobs = [float(getattr(layer.credit, name)) for name in KNOBS]  # rounded to single precision
    return Literal(layer.weight.detach().flatten(1).numpy(), *knobs)


def assert_same(layer, literal):
    np.testing.assert_allclose(layer.weight.detach().flatten(1).numpy(), literal.filters, rtol=1e-9)
    np.testing.assert_allclose(layer.credit.lateral.numpy(), literal.lateral, rtol=1e-9)


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
def test_a_linear_layer_learns_by_the_equations(bias):
    torch.manual_seed(0)
    layer = layer_of(nn.Linear(7, 5, bias=bias))
    literal, before = literal_of(layer), copy.deepcopy(layer.bias)
    for t, x in enumerate(minibatches(6, 9, 7)):
        expected = torch.from_numpy(x.numpy() @ literal.filters.T)
        torch.testing.assert_close(layer(x), expected if before is None else expected + before)
        literal.learn(x.numpy(), t)
        assert_same(layer, literal)
    assert before is None or torch.equal(layer.bias, before)


def test_a_convolution_learns_from_all_of_its_patches():
    torch.manual_seed(0)
    layer = layer_of(nn.Conv2d(2, 4, 3, stride=2, padding=1))
    literal = literal_of(layer)
    for t, x in enumerate(minibatches(4, 3, 2, 6, 7)):
        layer(x)
        patches = F.unfold(x, 3, stride=2, padding=1).mT.flatten(0, 1)
        literal.learn(patches.numpy(), t)
    assert_same(layer, literal)


def test_groups_of_a_convolution_learn_as_convolutions_by_themselves():
    torch.manual_seed(0)
    whole = layer_of(nn.Conv1d(4, 6, 3, groups=2))
    parts = [layer_of(nn.Conv1d(2, 3, 3)) for _ in range(2)]
    for place, part in enumerate(parts):
        with torch.no_grad():
            part.weight.copy_(whole.weight.chunk(2)[place])
            part.bias.copy_(whole.bias.chunk(2)[place])
    for x in minibatches(4, 5, 4, 8):
        together = [part(own) for part, own in zip(parts, x.chunk(2, 1), strict=True)]
        torch.testing.assert_close(whole(x), torch.cat(together, 1))
    torch.testing.assert_close(whole.weight, torch.cat([part.weight for part in parts]))
    assert not whole.credit.lateral[:3, 3:].any()


@pytest.mark.parametrize("units", [3, 8])
def test_the_filters_become_the_principal_subspace_without_what_is_weaker_than_the_leak(units):
    torch.manual_seed(0)
    spectrum = torch.tensor([4.0, 3.0, 2.0, 0.05, 0.04], dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q
    x = torch.randn(200, 5, dtype=torch.float64)
    x = torch.linalg.qr(x).Q * (200 * spectrum).sqrt() @ rotation.T
    layer = layer_of(nn.Linear(5, units, bias=False), matching_decay=0.0, matching_leak=0.5)
    for _ in range(400):
        layer(x)
    r = layer.eval()(x)
    shrunk = ((spectrum - 0.5).clamp(min=0) / spectrum).sqrt()  # the optimum of the objective with the leak
    expected = x @ rotation * shrunk
    torch.testing.assert_close(r @ r.T, expected @ expected.T, rtol=1e-3, atol=1e-2)


def test_a_unit_without_weights_stays_silent_and_begins_anew_when_it_has_some():
    torch.manual_seed(0)
    layer = layer_of(nn.Linear(7, 5))
    first, *others = minibatches(4, 9, 7)
    layer(first)
    with torch.no_grad():
        layer.weight[2] = 0
        layer.bias[2] = 0
    small = layer_of(nn.Linear(7, 4))
    with torch.no_grad():
        small.weight.copy_(layer.weight[[0, 1, 3, 4]])
        small.bias.copy_(layer.bias[[0, 1, 3, 4]])
        small.credit.lateral.copy_(layer.credit.lateral[[0, 1, 3, 4]][:, [0, 1, 3, 4]])
        small.credit.steps.copy_(layer.credit.steps)
    for x in others:
        torch.testing.assert_close(layer(x)[:, [0, 1, 3, 4]], small(x))
        assert not layer.weight[2].any()
    assert torch.equal(layer.credit.lateral[2], torch.eye(5, dtype=torch.float64)[2])


def test_a_layer_that_diverges_fails_alone():
    def nets():
        torch.manual_seed(0)
        return [
            nn.Sequential(layer_of(nn.Linear(7, 5)), nn.ReLU(), nn.Linear(5, 3).double()) for _ in range(2)
        ]

    stacked, alone = nets(), nets()
    for each in (stacked[0], alone[0]):
        each[0].weight.detach()[0, 0] = torch.inf
    stack = VmapStack(stacked, torch.device("cpu"))
    single = SingleNet(alone[1], torch.device("cpu"))
    for x in minibatches(3, 6, 7):
        for own in (stack, single):
            own.losses(F.cross_entropy, x, torch.arange(6) % 3)
    assert not torch.isfinite(stack.state["0.weight"][0]).any()
    torch.testing.assert_close(stack.state["0.weight"][1], alone[1][0].weight)


# lateral correlations and the rule decorrelation


def net_with_units(units="decorrelation", **knobs):
    torch.manual_seed(0)
    pruned = PlasticUnits(UNITS[units], 6, seed=1, target=5, events=1, warmup=3, **knobs)
    return nn.Sequential(credited("similarity_matching", nn.Linear(5, 6)), pruned, nn.Linear(6, 3))


def steps(net, number, x, after_first=lambda: None):
    optimizer = torch.optim.SGD([each for each in net.parameters() if each.requires_grad], lr=0.0)
    attach(net, optimizer, total_steps=number)
    for step in range(number):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        if step == 0:
            after_first()


@pytest.mark.parametrize("pair", [(0, 3), (1, 5), (4, 2)])
def test_decorrelation_prunes_by_lateral_correlations_where_there_are_some(pair):
    net = net_with_units()
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(2))
    strong, weak = pair
    net[0].credit.configure(matching_rate=0.0)  # so that inhibition stays as it is set here

    @torch.no_grad()
    def correlate():
        net[0].credit.lateral[strong, weak] = net[0].credit.lateral[weak, strong] = 0.999

    with torch.no_grad():
        net[2].weight.fill_(1.0)
        net[2].weight[:, weak] = 0.8
        net[0].weight.copy_(F.normalize(net[0].weight))
    steps(net, 4, x, correlate)
    assert (~net[1].alive).nonzero().flatten().tolist() == [weak]


def test_elsewhere_decorrelation_has_the_correlations_of_outputs():
    net = net_with_units()
    net[0] = nn.Linear(5, 6)
    with torch.no_grad():
        net[0].weight[4], net[0].bias[4] = 0.9 * net[0].weight[1], 0.9 * net[0].bias[1]
        net[2].weight.fill_(1.0)
    steps(net, 4, torch.randn(200, 5, generator=torch.Generator().manual_seed(2)))
    assert (~net[1].alive).nonzero().flatten().tolist() == [4]


def test_a_pruned_network_is_counted_and_cut_as_a_plain_one():
    net = net_with_units()
    x = torch.randn(100, 5, generator=torch.Generator().manual_seed(2))
    steps(net, 6, x)
    net.eval()
    assert hebbevo.count(net).loc["0", "neurons_alive"] == 5
    small = hebbevo.compact(net, x)
    assert [type(each) for each in small] == [nn.Linear, nn.ReLU, nn.Linear]
    assert small[0].out_features == 5
    torch.testing.assert_close(small(x), net(x))


def test_a_family_learns_by_it_and_its_last_layer_learns_the_task():
    net = Architecture("mlp", (8, 6), "dense", False, (5,), 3, credit="similarity_matching").build(
        {"matching_rate": 0.3, "matching_leak.2": 0.7}, 0
    )
    assert [round(float(layer.credit.matching_leak), 4) for layer in net.layers] == [0.1, 0.7]
    assert type(net.head) is nn.Linear
