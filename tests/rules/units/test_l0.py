"""L0 (Louizos et al., 2018, arXiv:1712.01312): gates by hand, as published, and on digits."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import hebbevo
from hebbevo.nn import PlasticUnits, attach, stateless_random
from hebbevo.nn.layer_units import GATE_STREAM
from hebbevo.nn.liveness.paths import survivors
from hebbevo.rules import UNITS
from hebbevo.rules.units.l0 import BETA, GAMMA, ZETA
from tests.rules.units.conftest import digits_cohort

CALM = {"schedule": "threshold", "threshold": -1.0}
EAGER = {"warmup": 0, "prune_period": 1, "grace": 0, "max_deaths": 1.0, "min_neurons": 0}


def l0(number, seed=1, **knobs):
    return PlasticUnits(UNITS["l0"], number, seed=seed, **knobs)


def net_of(units, optimizer=torch.optim.SGD, lr=0.0):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, units.num_neurons), units, nn.Linear(units.num_neurons, 3))
    optimizer = optimizer(net.parameters(), lr=lr)
    attach(net, optimizer)
    return net, optimizer


def step(net, optimizer, number=0):
    generator = torch.Generator().manual_seed(number)
    x = torch.randn(16, 5, generator=generator, dtype=net[0].weight.dtype)
    optimizer.zero_grad()
    F.cross_entropy(net(x), torch.randint(3, (16,), generator=generator)).backward()
    optimizer.step()


def literal_gate(drawn, log_alpha):
    """Equations 10 and 11 of the paper, for one unit."""
    s = 1 / (1 + math.exp(-(math.log(drawn) - math.log(1 - drawn) + log_alpha) / (2 / 3)))
    return min(1, max(0, s * (1.1 - -0.1) + -0.1))


def literal_penalty(log_alpha):
    """Equation 12 of the paper: the probability that the gate is not zero, for one unit."""
    return 1 / (1 + math.exp(-(log_alpha - 2 / 3 * math.log(0.1 / 1.1))))


def literal_test_gate(log_alpha):
    """Equation 13 of the paper, for one unit."""
    return min(1, max(0, 1 / (1 + math.exp(-log_alpha)) * (1.1 - -0.1) + -0.1))


# by hand


def test_three_events_by_hand():
    units = l0(4, gate_rate=1.0, gate_penalty=0.0, **EAGER)
    net, optimizer = net_of(units)
    closes = math.log(1 / 11)  # where the gate of evaluation is sigmoid x 1.2 - 0.1 = 0
    left = []
    for log_alpha in (
        [closes - 0.01, closes + 0.01, 0.0, 5.0],
        [9.0, closes + 0.01, closes + 0.01, closes - 0.5],  # the first one stays pruned
        [9.0, 0.0, -9.0, 9.0],
    ):
        with torch.no_grad():
            units.theta.copy_(torch.tensor(log_alpha))
        step(net, optimizer)
        left.append(units.alive.nonzero().flatten().tolist())
    assert left == [[1, 2, 3], [1, 2], [1]]


def test_half_open_gates_are_half_in_evaluation():
    units = l0(3, gate_start=0.0).eval()
    assert torch.equal(units(torch.tensor([[2.0, -1.0, 4.0]])), torch.tensor([[1.0, 0.0, 2.0]]))


def test_a_regrown_unit_begins_with_its_gate_at_the_start_and_no_moments():
    units = l0(4, gate_start=0.5, gate_rate=2.0, gate_penalty=0.1, regrowth_rate=1.0, **EAGER)
    net, optimizer = net_of(units, torch.optim.Adam, 0.01)
    for number in range(5):
        step(net, optimizer, number)
    with torch.no_grad():
        units.theta[1:3] = -9.0
    step(net, optimizer, 5)
    assert units.alive.tolist() == [True, False, False, True]
    assert units.theta[0] != 0
    step(net, optimizer, 6)
    assert units.alive.all()
    assert units.theta.detach()[1:3].tolist() == [0, 0]
    assert not any(optimizer.state[units.theta][kind][1:3].any() for kind in ("exp_avg", "exp_avg_sq"))
    assert all(optimizer.state[units.theta][kind][[0, 3]].all() for kind in ("exp_avg", "exp_avg_sq"))


# as published


def test_gates_and_their_training_are_the_published_equations_over_several_events():
    rate, start, penalty, lr = 3.0, -1.0, 0.1, 0.2
    units = l0(6, gate_rate=rate, gate_start=start, gate_penalty=penalty, **EAGER | {"prune_period": 2})
    net, optimizer = net_of(units, lr=lr)
    net.double()
    theta, alive = [-0.44, -0.4, -0.36, 0.0, 0.2, 0.5], [True] * 6
    with torch.no_grad():
        units.theta.copy_(torch.tensor(theta))
    for number in range(1, 13):
        state = {name: each.detach().clone() for name, each in net.named_parameters() if name != "1.theta"}
        drawn = stateless_random.uniform(
            torch.tensor(1), torch.tensor(number - 1), (6,), GATE_STREAM
        ).tolist()
        step(net, optimizer, number)
        # the loss with the literal gates, by finite differences in theta
        generator = torch.Generator().manual_seed(number)
        x = torch.randn(16, 5, generator=generator, dtype=torch.float64)
        y = torch.randint(3, (16,), generator=generator)

        def loss_at(theta, alive=tuple(alive), x=x, y=y, state=state, drawn=drawn):
            log_alpha = [start + rate * each for each in theta]
            z = [literal_gate(v, each) * a for v, each, a in zip(drawn, log_alpha, alive, strict=True)]
            h = F.linear(x, state["0.weight"], state["0.bias"]).relu() * torch.tensor(z, dtype=torch.float64)
            task = float(F.cross_entropy(F.linear(h, state["2.weight"], state["2.bias"]), y))
            open_gates = [literal_penalty(each) for each, a in zip(log_alpha, alive, strict=True) if a]
            return task + penalty * sum(open_gates)

        slopes = []
        for unit in range(6):
            at = [
                [each + (place == unit) * sign * 1e-6 for place, each in enumerate(theta)] for sign in (1, -1)
            ]
            slopes.append((loss_at(at[0]) - loss_at(at[1])) / 2e-6)
        theta = [each - lr * slope for each, slope in zip(theta, slopes, strict=True)]
        torch.testing.assert_close(units.theta.tolist(), theta, rtol=1e-6, atol=1e-7)
        gates = [float(literal_test_gate(start + rate * each)) for each in theta]
        if number % 2 == 0:
            alive = [a and gate > 0 for a, gate in zip(alive, gates, strict=True)]
        assert units.alive.tolist() == alive
        torch.testing.assert_close(units.score.tolist(), gates, rtol=1e-5, atol=1e-6)
        theta = units.theta.tolist()
    assert 1 <= sum(alive) <= 4


@pytest.mark.parametrize("log_alpha", [-3.0, -0.5, 0.0, 2.0])
def test_drawn_gates_have_the_closed_form_distribution_of_the_paper(log_alpha):
    units = l0(500, gate_start=log_alpha, gate_penalty=0.0, **CALM)
    gates = torch.cat([units(torch.ones(1, 500)).detach() for _ in range(80)]).flatten()
    number = len(gates)

    def below(s):
        """The distribution function of the stretched concrete distribution, section 2.3."""
        inside = (s - GAMMA) / (ZETA - GAMMA)
        return 1 / (1 + math.exp(-(BETA * (math.log(inside) - math.log(1 - inside)) - log_alpha)))

    assert 1 - below(0) == pytest.approx(literal_penalty(log_alpha))
    for s, share in ((0.0, (gates == 0)), (0.25, gates <= 0.25), (0.7, gates <= 0.7), (1.0, gates < 1)):
        p = below(s)
        assert float(share.double().mean()) == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / number))


def test_the_penalty_is_the_expected_number_of_open_gates_of_living_units():
    k = {"gate_penalty": 0.25, "gate_start": 1.0, "gate_rate": 2.0}
    s = SimpleNamespace(theta=torch.tensor([-1.0, 0.5, 3.0]))
    found = UNITS["l0"].penalty(SimpleNamespace(**k), s, torch.zeros(1, 3), torch.tensor([True, True, False]))
    assert float(found) == pytest.approx(0.25 * (literal_penalty(-1.0) + literal_penalty(2.0)))


# drawn by a counter


def test_training_gates_are_functions_of_seed_and_step_and_test_gates_of_neither():
    x = torch.ones(4, 200)
    first, again, other = (l0(200, seed=seed, **CALM) for seed in (1, 1, 2))
    ours = [first(x) for _ in range(2)]
    torch.randn(7)  # no generator is read
    assert all(torch.equal(y, again(x)) for y in ours)
    assert not torch.equal(ours[0], ours[1])
    assert not torch.equal(ours[0], other(x))
    assert all(torch.equal(y, y[:1].expand(4, -1)) for y in ours)  # one gate for all rows
    assert torch.equal(first.eval()(x), other.eval()(x))
    resumed = l0(200, seed=1, **CALM)
    resumed.load_state_dict(first.state_dict())
    assert torch.equal(first.train()(x), resumed.train()(x))


def test_the_layers_of_a_network_draw_different_gates():
    cohort = digits_cohort("l0", [{}], hidden=(50, 50))
    net = cohort.sub_cohorts[0].nets.module.train()
    gates = [module(torch.ones(1, 50)) for module in net.modules() if isinstance(module, PlasticUnits)]
    assert not torch.equal(*gates)


# in a search


def test_each_layer_may_have_its_own_penalty():
    both = {"gate_penalty": 0.01, "gate_start": 1.0}
    cohort = digits_cohort("l0", [both | {"gate_penalty.1": 0.5}, both | {"gate_penalty.2": 0.02}])
    found = {name: value.tolist() for name, value in cohort.state.items() if name.endswith("gate_penalty")}
    first, second = found.values()
    assert first == pytest.approx([0.5, 0.01]) and second == pytest.approx([0.01, 0.02])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_gates_have_no_weight_decay(optimizer):
    settings = {"optimizer": optimizer, "learning_rate": 1e-2, "weight_decay": 50.0, "gate_penalty": 0.0}
    cohort = digits_cohort("l0", [{}, {"weight_decay": 20.0}], **settings)
    [sub_cohort] = cohort.sub_cohorts
    for name, value in sub_cohort.nets.tensors.items():
        if name.endswith("theta"):
            value.fill_(40.0)  # wide open, with no gradient left
    before = {name: value.clone() for name, value in cohort.state.items()}
    cohort.train_step(next(cohort.minibatches(0)))
    for name, value in cohort.state.items():
        if name.endswith("theta"):
            assert torch.equal(value, before[name])
        elif name.endswith("weight"):
            assert value[0].norm() < 0.7 * before[name][0].norm()


def test_a_closed_gate_counts_as_dead_before_the_event_that_prunes_its_unit():
    units = l0(6, gate_rate=1.0, **CALM)
    net = nn.Sequential(nn.Linear(5, 6), units, nn.Linear(6, 3))
    with torch.no_grad():
        units.theta[[1, 4]] = -3.0
    assert units.alive.all()
    assert hebbevo.count(net).loc["0", "neurons_alive"] == 4
    assert survivors(net, torch.ones(1, 5)).alive.tolist() == [[4]]


@pytest.mark.parametrize("nets", [1, 3])
def test_a_cohort_counts_closed_gates_as_dead_too(nets):
    cohort = digits_cohort("l0", [{"learning_rate": 10.0**-place} for place in range(1, nets + 1)], **CALM)
    for place, nets_at in enumerate(cohort.sub_cohorts):
        theta = [value for name, value in nets_at.nets.tensors.items() if name.endswith("theta")]
        for row in range(nets):
            theta[0][row, : 3 + row] = -3.0
            theta[1][row, :5] = -3.0
        found = nets_at.nets.survivors("neurons").alive.tolist()
        assert found == [[64 - 3 - row, 32 - 5] for row in range(nets)] and place == 0


# what the paper reports, on digits


def test_gates_polarise_and_a_larger_penalty_leaves_fewer_units():
    """Section 4.1 of the paper: after training most gates are open or closed; lambda decides how many.

    Digits, 64-32 units, seed 0. All gates begin at a half; tolerance: a tenth of them ends between .1 and .9.
    """
    penalties = (1e-3, 3e-3, 1e-2, 3e-2)
    brief = {"learning_rate": 5e-3, "epochs": 4}
    cohort = digits_cohort(
        "l0", [{"gate_penalty": each} for each in penalties], gate_rate=40.0, warmup=0, **brief
    )
    found = cohort.train()
    survivors = [each.survivors[-1] for each in found]
    assert survivors == sorted(survivors, reverse=True)
    assert survivors[0] >= 70 and survivors[-1] <= 20
    assert all(each.accuracy[-1] > 0.94 for each in found[:3])
    state, half_open = cohort.state, torch.zeros(4)
    for name in (name for name in state if name.endswith("theta")):
        gates = ((40 * state[name]).sigmoid() * (ZETA - GAMMA) + GAMMA).clamp(0, 1)
        gates = gates * state[name.replace("theta", "alive")]
        half_open += ((gates > 0.1) & (gates < 0.9)).sum(1)
    assert half_open.max() <= 9
