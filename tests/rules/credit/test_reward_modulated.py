"""Reward-modulated learning: its step written out, its mean, and what it refuses."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.networks import Architecture
from hebbevo.nn import Credited, attach, credited, stateless_random
from hebbevo.nn.layer_units import REWARD_STREAM

NOISE, ROWS = 0.3, 16


def net_of(noise=NOISE, seed=3, last="reward_modulated"):
    torch.manual_seed(seed)
    hidden = credited("reward_modulated", nn.Linear(5, 4), seed=1, output_noise=noise)
    knobs = {"output_noise": noise, "seed": 2} if last == "reward_modulated" else {}
    return nn.Sequential(hidden, nn.Tanh(), credited(last, nn.Linear(4, 3), **knobs))


def attached(net):
    attach(net, torch.optim.SGD(net.parameters(), lr=0.1))
    return net


def batch(rows=ROWS):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 5, generator=generator), torch.randint(3, (rows,), generator=generator)


def test_the_step_is_the_three_factor_rule_written_out():
    net, (x, y) = attached(net_of()), batch()
    F.cross_entropy(net(x), y).backward()

    first, last = net[0], net[2]
    zero = torch.tensor(0)
    e1 = stateless_random.normal(torch.tensor(1), zero, (ROWS, 4), REWARD_STREAM)
    e2 = stateless_random.normal(torch.tensor(2), zero, (ROWS, 3), REWARD_STREAM)
    with torch.no_grad():
        h = (F.linear(x, first.weight, first.bias) + NOISE * e1).tanh()
        outputs = F.linear(h, last.weight, last.bias) + NOISE * e2
        reward = -(outputs.softmax(1) - F.one_hot(y, 3)).square().sum(1)
        surprise = (reward - reward.mean())[:, None]
    for layer, inputs, drawn in ((first, x, e1), (last, h, e2)):
        step = surprise * (NOISE * drawn) / NOISE**2  # (R - mean R) (a - <a>) / sigma^2
        torch.testing.assert_close(layer.weight.grad, -step.T @ inputs / ROWS)
        torch.testing.assert_close(layer.bias.grad, -step.sum(0) / ROWS)


def test_the_mean_step_is_the_gradient_of_the_reward():
    x, y = batch(2000)
    x, y = x[:1].expand(2000, -1), y[:1].expand(2000)  # one row under many draws
    net = attached(net_of(noise=0.05))
    steps = []
    for _ in range(30):
        net.zero_grad()
        F.cross_entropy(net(x), y).backward()
        steps.append(torch.cat([net[0].weight.grad.flatten(), net[2].weight.grad.flatten()]))
    found = torch.stack(steps).mean(0)
    brier = (net.eval()(x[:1]).softmax(1) - F.one_hot(y[:1], 3)).square().sum()
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(brier, [net[0].weight, net[2].weight])])
    assert float(torch.cosine_similarity(found, expected, 0)) > 0.98
    assert float(found.norm() / expected.norm()) == pytest.approx(1, abs=0.1)


def test_beside_a_plain_last_layer_that_one_has_its_ordinary_gradient():
    net, (x, y) = attached(net_of(last="backprop")), batch()
    e1 = stateless_random.normal(torch.tensor(1), torch.tensor(0), (ROWS, 4), REWARD_STREAM)
    h = (F.linear(x, net[0].weight, net[0].bias) + NOISE * e1).tanh().detach()
    expected = torch.autograd.grad(F.cross_entropy(net[2](h), y), net[2].weight)[0]
    F.cross_entropy(net(x), y).backward()
    torch.testing.assert_close(net[2].weight.grad, expected)
    assert net[0].weight.grad.any()


def test_the_reward_of_a_regression_is_the_squared_error():
    net, (x, _) = attached(net_of()), batch()
    target = torch.randn(ROWS, 3)
    F.mse_loss(net(x), target).backward()
    assert net[0].weight.grad.any()


@pytest.mark.parametrize("case", ["unattached", "a part", "a tuple", "other rows"])
def test_where_no_reward_can_be_known_it_is_refused(case):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net_of()

        def forward(self, x):
            y = self.inner(x)
            return (y, y) if case == "a tuple" else y[:3]

    x, _ = batch()
    model = net_of() if case in ("unattached", "a part") else Twice()
    if case != "unattached":
        attach(model, torch.optim.SGD(model.parameters(), lr=0.1), example=x)
    model.train()
    message = {
        "unattached": r"reward_modulated needs the error of the model's outputs; call hebbevo.nn.attach",
        "a part": "a layer under reward_modulated is called by itself",
        "a tuple": "the output of the model is of type tuple",
        "other rows": "outputs of a layer have other rows than the output of the model",
    }[case]
    with pytest.raises(UsageError, match=message):
        (model[0] if case == "a part" else model)(x)


def test_the_last_layer_of_a_family_learns_by_its_ordinary_gradient():
    net = Architecture("mlp", (6,), "stamina", False, (5,), 3, credit="reward_modulated").build({}, 0)
    assert isinstance(net.layers[0], Credited)
    assert type(net.head) is nn.Linear
