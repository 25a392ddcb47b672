"""The seam of credit rules, tested with one rule of each kind, on single networks and in stacks.

The kinds are a local loss, an update in place of the optimiser, and a backward pass of the rule's own.
"""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hebbevo
from hebbevo.networks import Architecture
from hebbevo.nn import HebbMask, PlasticUnits, attach, credited
from hebbevo.rules import CREDIT, UNITS
from hebbevo.rules.credit.rule import CreditRule, Updates
from hebbevo.rules.rule import Buffer
from hebbevo.space.knobs import Knob, table
from hebbevo.training.stack import SingleNet, VmapStack

CPU = torch.device("cpu")


class Decorrelating(CreditRule):
    """A loss of the layer's own, by which outputs become small."""

    name = "decorrelating"
    knobs = table(Knob("weight", float, 0.5, "weight of the loss", low=0.0))
    local = True

    def local_loss(self, k, s, layer, x, y):
        return k.weight * y.square().mean()


class Oja(CreditRule):
    """An update in place of the optimiser: eta (y x - y^2 w), Oja's rule."""

    name = "oja"
    knobs = table(Knob("rate", float, 0.01, "step size", low=0.0))
    updates = True

    def update(self, k, s, layer, x, y):
        square = y.square().mean(0) if y.dim() == 2 else y.square().mean((0, 2, 3))
        decay = square.reshape(-1, *(1,) * (layer.weight.dim() - 1)) * layer.weight
        return Updates(k.rate * (layer.coactivation(x, y) - decay))


class FeedbackLinear(torch.autograd.Function):
    """A linear layer whose backward pass goes through other weights."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight, bias, feedback):
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, _, _, feedback = inputs
        ctx.save_for_backward(x, feedback)

    @staticmethod
    def backward(ctx, gradient):
        x, feedback = ctx.saved_tensors
        return gradient @ feedback, gradient.mT @ x, gradient.sum(0), None


class Feedback(CreditRule):
    """A backward pass of its own: feedback alignment with weights drawn once."""

    name = "feedback"
    knobs = table(Knob("size", float, 0.3, "size of the feedback weights", low=0.0))
    buffers = {"feedback": Buffer("size")}  # noqa: RUF012

    def forward(self, k, s, layer, x):
        if layer.weight.dim() > 2:
            return super().forward(k, s, layer, x)
        return FeedbackLinear.apply(x, layer.weight, layer.bias, s.feedback)


RULES = [Decorrelating(), Oja(), Feedback()]  # those of the registry: test_credit_contract.py


@pytest.fixture(params=RULES, ids=str)
def rule(request):
    return request.param


def net_of(rule, seed=0, mask=False):
    torch.manual_seed(seed)
    hidden = credited(rule, nn.Linear(8, 6), seed=seed)
    hidden = HebbMask(hidden, ["weight"], permanence_rate=0.3) if mask else hidden
    return nn.Sequential(
        credited(rule, nn.Linear(5, 8), seed=seed), nn.ReLU(), hidden, nn.ReLU(), nn.Linear(6, 3)
    )


def steps(net, optimizer, number=6):
    for step in range(number):
        generator = torch.Generator().manual_seed(step)
        optimizer.zero_grad()
        x, y = torch.randn(16, 5, generator=generator), torch.randint(3, (16,), generator=generator)
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


def sgd(net):
    return torch.optim.SGD([each for each in net.parameters() if each.requires_grad], lr=0.1)


def test_backprop_is_the_layer_itself():
    layer = nn.Linear(3, 2)
    assert credited("backprop", layer) is layer


def test_evaluation_and_counting_use_the_plain_layer(rule):
    net = net_of(rule)
    plain = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    plain.load_state_dict({name: value for name, value in net.state_dict().items() if ".credit." not in name})
    x, before = torch.randn(4, 5), copy.deepcopy(net.state_dict())
    assert torch.equal(net.eval()(x), plain(x))
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
    numbers = ["neurons", "neurons_alive", "connections", "connections_alive"]
    ours, theirs = hebbevo.count(net), hebbevo.count(plain)
    assert ours.attrs["notes"] == []
    assert ours.loc["total", numbers].tolist() == theirs.loc["total", numbers].tolist()


def test_a_local_loss_is_added_to_that_of_the_task(rule=RULES[0]):
    net = net_of(rule)
    x, y = torch.randn(16, 5), torch.randint(3, (16,))
    F.cross_entropy(net(x), y).backward()
    first, second = net[0], net[2]
    h = F.linear(x, first.weight, first.bias)
    z = F.linear(h.relu(), second.weight, second.bias)
    whole = F.cross_entropy(net[4](z.relu()), y) + 0.5 * (h.square().mean() + z.square().mean())
    expected = torch.autograd.grad(whole, [first.weight, second.weight])
    torch.testing.assert_close([first.weight.grad, second.weight.grad], list(expected))


def test_an_update_takes_the_place_of_the_optimisers_step(rule=RULES[1]):
    net = net_of(rule)
    weight = net[0].weight.detach().clone()
    steps(net, sgd(net), 1)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 5, generator=generator)
    y = F.linear(x, weight, net[0].bias)
    expected = weight + 0.01 * (y.T @ x / 16 - y.square().mean(0)[:, None] * weight)
    torch.testing.assert_close(net[0].weight.detach(), expected.detach())
    assert net[0].weight.grad is None


def test_a_backward_pass_of_the_rules_own_sets_the_gradient_of_the_inputs(rule=RULES[2]):
    net = net_of(rule)
    x = torch.randn(16, 5, requires_grad=True)
    h = net[0](x)
    h.sum().backward()
    torch.testing.assert_close(x.grad, torch.full((16, 5), 8 * 0.3))
    torch.testing.assert_close(net[0].weight.grad, x.detach().sum(0).expand(8, 5))


@pytest.mark.parametrize("mask", [False, True], ids=["plain", "masked"])
def test_a_stack_trains_the_nets_that_train_alone(rule, mask):
    seeds = (1, 2, 3)
    alone, stacked = ([net_of(rule, seed, mask).double() for seed in seeds] for _ in range(2))
    stack = VmapStack(stacked, CPU)
    stacks = [stack, *(SingleNet(net, CPU) for net in alone)]
    for step in range(6):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(16, 5, generator=generator, dtype=torch.float64)
        y = torch.randint(3, (16,), generator=generator)
        for nets in stacks:
            _, gradients = nets.losses(F.cross_entropy, x, y)
            with torch.no_grad():
                for weight, gradient in zip(nets.trained.values(), gradients, strict=True):
                    weight.sub_(0.1 * gradient)
    for row, net in enumerate(alone):
        for name, value in net.state_dict().items():
            torch.testing.assert_close(stack.state[name][row], value, rtol=1e-10, atol=1e-10, msg=name)
    assert not torch.equal(stack.state["0.weight"][0], net_of(rule, 1, mask).double()[0].weight)


def test_attach_accepts_every_kind_of_rule(rule):
    net = net_of(rule, mask=True)
    optimizer = sgd(net)
    attach(net, optimizer)
    steps(net, optimizer)
    assert torch.isfinite(net(torch.randn(4, 5))).all()
    assert int(net[0].credit.steps) == 7


def test_the_layers_before_are_trained_through_every_kind_of_rule(rule):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(5, 8), nn.ReLU(), credited(rule, nn.Linear(8, 6)), nn.ReLU(), nn.Linear(6, 3)
    )
    before = copy.deepcopy(net.state_dict())
    steps(net, sgd(net), 2)
    assert not torch.equal(net[0].weight, before["0.weight"])
    assert not torch.equal(net[2].weight, before["2.weight"])


def test_buffers_may_start_at_a_knob():
    layer = credited(Feedback(), nn.Linear(3, 2), size=0.75)
    assert layer.credit.feedback.unique().tolist() == [0.75]


@pytest.mark.parametrize("units", ["magnitude", "random"])
def test_units_are_pruned_between_layers_under_every_kind_of_rule(rule, units):
    torch.manual_seed(0)
    pruned = PlasticUnits(UNITS[units], 8, seed=1, target=3, events=3, warmup=1)
    net = nn.Sequential(
        credited(rule, nn.Linear(5, 8)), pruned, credited(rule, nn.Linear(8, 6)), nn.Linear(6, 3)
    )
    optimizer = sgd(net)
    attach(net, optimizer, total_steps=6)
    steps(net, optimizer, 5)
    dead = ~pruned.alive
    assert dead.sum() >= 3
    steps(net, optimizer, 1)
    assert pruned.alive.sum() == 3
    assert not net[0].weight[~pruned.alive].any()
    assert not net[2].weight[:, ~pruned.alive].any()


def test_a_family_has_updates_in_hidden_layers_and_a_last_layer_that_learns_the_task(monkeypatch):
    monkeypatch.setitem(CREDIT, "oja", RULES[1])
    net = Architecture("mlp", (8, 6), "stamina", False, (5,), 3, credit="oja").build({}, 0)
    assert [type(layer) for layer in (*net.layers, net.head)] == [type(net.layers[0])] * 2 + [nn.Linear]
    assert {name for name, each in net.named_parameters() if each.requires_grad} == {
        "head.weight",
        "head.bias",
    }


def test_convolutions_may_have_every_kind_of_rule(rule):
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        credited(rule, nn.Conv2d(4, 4, 3)),
        nn.BatchNorm2d(4),
    )
    net = nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    before = net[3].weight.detach().clone()
    optimizer = sgd(net)
    x, y = torch.randn(8, 1, 8, 8), torch.randint(3, (8,))
    F.cross_entropy(net(x), y).backward()
    optimizer.step()
    assert not torch.equal(before, net[3].weight)
    assert isinstance(net[3], nn.Conv2d)
