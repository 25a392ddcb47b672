"""The gradient of the loss by a gate on each unit, against autograd by real gates."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import HebbMask, PlasticUnits, attach, masked, plastic_units
from hebbevo.nn.wiring import Wiring, named_tensors, set_attached
from hebbevo.rules import UNITS
from tests.nn.conftest import TwoHeads
from tests.rules.conftest import RuleTraining, rows_of, train_together

CALM = {"schedule": "threshold", "threshold": -1.0, "memory": 0.75}


def taylor(number, dim=-1, **knobs):
    """Units that are observed and never pruned."""
    return PlasticUnits(UNITS["taylor"], number, dim=dim, seed=1, **CALM | knobs)


def by_real_gates(net, loss_of):
    """The gradient of a loss by a gate of one on each unit of each layer, by autograd."""
    set_attached(net)
    gates, hooks = {}, []
    for name, module in plastic_units(net).items():
        gates[name] = torch.ones(module.num_neurons, dtype=torch.float64, requires_grad=True)

        def gated(module, args, y, gate=gates[name]):
            return y * gate.to(y.dtype).reshape(-1, *(1,) * (y.dim() - 1 - module.dim % y.dim()))

        hooks.append(module.register_forward_hook(gated))
    try:
        found = torch.autograd.grad(loss_of(net), list(gates.values()))
    finally:
        for hook in hooks:
            hook.remove()
    return dict(zip(gates, found, strict=True))


def from_weights(net, loss_of):
    """The same from the weights behind the units and their gradients."""
    net.zero_grad()
    loss_of(net).backward()
    gradients = {name: each.grad for name, each in net.named_parameters() if each.grad is not None}
    layers = Wiring(net, X[type(net[0])]).layer_units(named_tensors(net), {}, None, gradients)
    return {name: layer.gate_gradients() for name, layer in layers.items()}


X = {nn.Linear: torch.zeros(2, 5).double(), nn.Conv2d: torch.zeros(2, 2, 9, 9).double()}


def convolution(*layers):
    return nn.Sequential(nn.Conv2d(2, 6, 2), taylor(6, 1), *layers)


NETS = {
    "linear": lambda: nn.Sequential(nn.Linear(5, 7), taylor(7), nn.Linear(7, 6), taylor(6), nn.Linear(6, 3)),
    "convolution": lambda: convolution(nn.Conv2d(6, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "groups": lambda: convolution(nn.Conv2d(6, 6, 3, groups=3), nn.AdaptiveMaxPool2d(1), nn.Flatten()),
    "flattened behind a pool": lambda: convolution(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 3)),
    "flattened means": lambda: convolution(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(24, 3)),
    "two consumers": lambda: convolution(TwoHeads()),
    "Hebbian mask": lambda: nn.Sequential(
        nn.Linear(5, 7), taylor(7), HebbMask(nn.Linear(7, 3), ["weight"], permanence_rate=1.0)
    ),
    "magnitude mask": lambda: nn.Sequential(
        nn.Linear(5, 7), taylor(7), masked("magnitude", nn.Linear(7, 3), seed=2)
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_the_gate_gradient_is_that_of_autograd_by_real_gates(name):
    net = NETS[name]().double()
    for units in plastic_units(net).values():
        units.alive[2] = False
    for module in net.modules():  # some connections are out
        if hasattr(module, "connections"):
            module.connections[0].connected[:, ::2] = False
    x = torch.randn(4, *X[type(net[0])].shape[1:], dtype=torch.float64)
    y = torch.randint(3, (4,))
    before = {key: value.clone() for key, value in net.state_dict().items()}

    def loss_of(net):
        net.load_state_dict(before)
        return F.cross_entropy(net(x), y)

    expected, found = by_real_gates(net, loss_of), from_weights(net, loss_of)
    assert all((each != 0).sum() >= 3 for each in expected.values())
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-9, atol=1e-12)


def test_units_that_something_else_reads_too_are_refused():
    class Twice(nn.Sequential):
        def forward(self, x):
            h = self[1](self[0](x))
            return self[2](h) + h[:, :3].tanh()

    net = Twice(nn.Linear(5, 7), taylor(7), nn.Linear(7, 3))
    with pytest.raises(UsageError, match="taylor needs layers that read these units by weights which"):
        attach(net, torch.optim.SGD(net.parameters(), lr=0.1))


def test_units_in_front_of_weights_that_are_not_trained_are_refused():
    net = nn.Sequential(nn.Linear(5, 7), taylor(7), nn.Linear(7, 3).requires_grad_(False))
    with pytest.raises(UsageError, match="taylor needs layers that read these units by weights which"):
        attach(net, torch.optim.SGD(net[0].parameters(), lr=0.1))


@pytest.mark.parametrize(
    ("family", "how"), [("mlp", "alone"), ("mlp", "stack"), ("mlp", "compact"), ("conv", "stack")]
)
@pytest.mark.parametrize("connections", ["full", "magnitude"])
def test_every_net_of_a_cohort_has_the_gate_gradients_of_its_own_minibatches(family, how, connections):
    training = RuleTraining("taylor", connections, family, knobs=CALM)
    cohort, nets, rows = training.cohort(how), training.nets(), rows_of(training.shape)
    first, second = list(cohort.minibatches(0))[:2]

    def squared(nets, place):
        return [
            {
                name: gradient.square()
                for name, gradient in by_real_gates(
                    net.train(), lambda net: F.cross_entropy(net(rows.x[place]), rows.y[place])
                ).items()
            }
            for net in nets
        ]

    nets = nets[:1] if how == "alone" else nets
    expected = squared(nets, first)
    cohort.train_step(first)
    for net, state in zip(nets, range(len(nets)), strict=True):
        net.load_state_dict({key: each[state] for key, each in cohort.state.items()})
    again = squared(nets, second)
    cohort.train_step(second)
    for row, (one, other) in enumerate(zip(expected, again, strict=True)):
        for name in one:
            found = cohort.state[f"{name}.sum_gate_gradient"][row]
            torch.testing.assert_close(found, one[name] * 0.75 + other[name], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("how", ["stack", "compact"])
def test_in_half_precision_the_gate_gradients_of_a_cohort_are_the_same_up_to_rounding(how):
    training = RuleTraining("taylor", knobs=CALM)
    rows = rows_of()
    rows = replace(rows, x=rows.x.float(), x_val=rows.x_val.float())
    found = []
    for precision in ("float32", "bfloat16"):
        recipe = replace(training.recipe, stacked=True, precision=precision)
        nets = [net.float() for net in training.nets()]
        cohort = train_together(how, recipe, nets, training.nets()[0].float(), rows)
        cohort.train_step(next(cohort.minibatches(0)))
        found.append({key: each for key, each in cohort.state.items() if key.endswith("sum_gate_gradient")})
    for name, exact in found[0].items():
        assert found[1][name].dtype == torch.float32
        assert not torch.equal(found[1][name], exact)
        torch.testing.assert_close(found[1][name], exact, rtol=0.1, atol=0.02 * float(exact.max()))


# in a loop of one's own


def loop(step, batches=6, optimizer=torch.optim.SGD, **settings):
    """The gate statistics after a training, each of whose steps ``step`` takes."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(5, 7), taylor(7), nn.Linear(7, 3))
    optimizer = optimizer(net.parameters(), lr=0.1, **settings)
    attach(net, optimizer)
    for batch in range(batches):
        generator = torch.Generator().manual_seed(batch)
        x, y = torch.randn(16, 5, generator=generator), torch.randint(3, (16,), generator=generator)
        step(net, optimizer, lambda x=x, y=y: F.cross_entropy(net(x), y))
    return net


def plainly(net, optimizer, loss):
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()


def test_attached_units_add_the_gradients_of_every_step():
    expected = torch.zeros(7, dtype=torch.float64)

    def step(net, optimizer, loss):
        nonlocal expected
        before = {key: value.clone() for key, value in net.state_dict().items()}
        gradient = by_real_gates(net, lambda _: loss())["1"]
        net.load_state_dict(before)
        expected = 0.75 * expected + gradient.square()
        plainly(net, optimizer, loss)

    net = loop(step)
    torch.testing.assert_close(net[1].sum_gate_gradient, expected.float(), rtol=1e-4, atol=1e-10)
    assert net[1].seen_gradients.tolist() == pytest.approx([sum(0.75**age for age in range(6))] * 7)


def test_a_closure_gives_the_gradients_of_its_own_step():
    def by_closure(net, optimizer, loss):
        def closure():
            optimizer.zero_grad()
            loss().backward()
            return loss

        optimizer.step(closure)

    ours, plain = loop(by_closure), loop(plainly)
    assert torch.equal(ours[1].sum_gate_gradient, plain[1].sum_gate_gradient)
    assert torch.equal(ours[2].weight, plain[2].weight)


def test_accumulated_gradients_count_once():
    def accumulated(net, optimizer, loss):
        optimizer.zero_grad()
        for _ in range(4):
            (loss() / 4).backward()
        optimizer.step()

    ours, plain = loop(accumulated), loop(plainly)
    torch.testing.assert_close(ours[1].score, plain[1].score, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours[1].seen_gradients, plain[1].seen_gradients)


@pytest.mark.parametrize("fused", [False, True])
def test_a_gradient_scaler_changes_nothing_and_its_infinite_gradients_do_not_count(fused):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    steps = iter(range(6))

    def scaled(net, optimizer, loss):
        optimizer.zero_grad()
        scaler.scale(loss()).backward()
        if next(steps) == 2:
            net[2].weight.grad[0] = torch.inf
        scaler.step(optimizer)
        scaler.update()

    ours = loop(scaled, optimizer=torch.optim.AdamW, fused=fused)
    places = iter(range(6))
    plain = loop(
        lambda *call: plainly(*call) if next(places) != 2 else None, optimizer=torch.optim.AdamW, fused=fused
    )
    torch.testing.assert_close(ours[1].sum_gate_gradient, plain[1].sum_gate_gradient, rtol=1e-4, atol=1e-9)


def test_in_mixed_precision_the_gradients_are_those_of_real_gates_up_to_rounding():
    def mixed(net, optimizer, loss):
        with torch.autocast("cpu", torch.bfloat16):
            found = loss()
        optimizer.zero_grad()
        found.backward()
        optimizer.step()

    ours, plain = (loop(step, batches=1)[1].sum_gate_gradient for step in (mixed, plainly))
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, plain, rtol=0.05, atol=0.02 * float(plain.max()))
