"""The stamina rule against its published arithmetic."""

import math
from statistics import pstdev

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import InputStamina, Stamina, attach
from hebbevo.nn.layer_context import Consumer, LayerContext
from hebbevo.nn.surgery import prepare_units
from hebbevo.nn.wiring import set_attached
from hebbevo.rules import UNITS
from hebbevo.rules.units.stamina import ACTIVITIES, PENALTY_FORMS

NEVER = -1e9  # a threshold that no stamina falls to
EAGER = dict(stamina_decay=1.0, warmup=0, prune_period=1, min_neurons=0, max_deaths=1.0, grace=0)
KNOBS = UNITS["stamina"].knobs


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def transcription(batches, alive, beta, form, activity, priors, decay, outgoing):
    """Stamina after ``batches`` of outputs, as published: one sample and one neuron at a time."""
    neurons = range(len(alive))
    gain, reference = [0.0] * len(alive), [0.0] * len(alive)
    for batch in batches:
        spread = [outgoing[j] * pstdev(row[j] for row in batch) for j in neurons]
        v_sum, level_sum = [0.0] * len(alive), 0.0
        for row in batch:
            amount = {
                "activation": row,
                "frequency": [float(y > 0) for y in row],
                "contribution": spread,
            }[activity]
            living = [j for j in neurons if alive[j]]
            n_fire = sum(row[j] > 0 for j in living)
            n_silent = len(living) - n_fire
            mu = sum(amount[j] for j in living) / len(living)
            c = {
                "mean": mu,
                "ratio": mu * n_silent / max(n_fire, 1),
                "zero_sum": mu * len(living) / max(n_silent, 1),
                "constant": 1.0,
            }[form]
            level_sum += mu
            for j in living:
                penalty = beta * c if row[j] == 0 else 0.0
                v_sum[j] += 2 * (1 - priors[j]) * amount[j] - 2 * priors[j] * penalty
        for j in neurons:
            gain[j] = decay * gain[j] + v_sum[j] / len(batch)
            reference[j] = decay * reference[j] + alive[j] * level_sum / len(batch)
    return [g / r if alive[j] else 0.0 for j, (g, r) in enumerate(zip(gain, reference, strict=True))]


# the accounting


@pytest.mark.parametrize("prior", [0.5, [1 / 16, 0.25, 0.5, 0.75, 1.0, 0.125, 0.0]], ids=["one", "vector"])
@pytest.mark.parametrize("activity", ACTIVITIES)
@pytest.mark.parametrize("form", PENALTY_FORMS)
def test_stamina_is_the_published_sum_over_100_batches(form, activity, prior):
    rng = np.random.default_rng(1)
    alive = [True, True, False, True, True, True, True]
    out_weight = rng.normal(size=(3, 7))
    units = Stamina(
        7,
        unactivation_penalty=1.5,
        penalty_form=form,
        activity=activity,
        firing_prior=prior,
        stamina_decay=0.9375,
    ).double()
    set_attached(units)
    context = LayerContext(consumers=(Consumer(torch.tensor(out_weight), None),))
    prepare_units([units.layer_units(context)])
    units.alive.copy_(torch.tensor(alive))
    rarity = np.linspace(-0.5, 2, 7)  # the last unit rarely fires, and no unit fires on some samples
    batches = [units(torch.tensor(rng.normal(size=(5, 7)) - rarity)).tolist() for _ in range(100)]

    priors = np.broadcast_to(prior, 7).tolist()
    norms = np.sqrt((out_weight**2).sum(0)).tolist()
    expected = transcription(batches, alive, 1.5, form, activity, priors, 0.9375, norms)
    np.testing.assert_allclose(units.stamina.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", PENALTY_FORMS)
def test_the_stamina_of_the_only_living_unit_is_in_units_of_its_own_activity(form):
    alive = [False, True, False]
    units = Stamina(3, penalty_form=form, hebbian_threshold=NEVER).double()
    units.alive.copy_(torch.tensor(alive))
    batches = [units(torch.randn(5, 3, dtype=torch.float64)).tolist() for _ in range(8)]
    expected = transcription(batches, alive, 1.0, form, "activation", [0.5] * 3, 0.98, [1.0] * 3)
    np.testing.assert_allclose(units.stamina.numpy(), expected, rtol=1e-6)


BALANCE = {
    "mean": lambda p, activity: 1 / (1 - p),
    "ratio": lambda p, activity: p / (1 - p) ** 2,
    "zero_sum": lambda p, activity: 1.0,
    "constant": lambda p, activity: activity / (1 - p),
}


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("form", PENALTY_FORMS)
def test_equal_neurons_survive_at_threshold_zero_iff_the_penalty_is_below_the_balance(form, p):
    rng = np.random.default_rng(2)
    size = 0.1 + np.abs(rng.normal(size=(20_000, 100)))
    x = torch.tensor(np.where(rng.random(size.shape) < p, size, -1.0))
    balance = BALANCE[form](p, p * (0.1 + math.sqrt(2 / math.pi)))

    def survivors(beta):
        units = Stamina(100, unactivation_penalty=beta, penalty_form=form, **EAGER)
        units(x)
        return int(units.alive.sum())

    assert survivors(0.9 * balance) == 100
    assert survivors(1.1 * balance) == 0


def test_zero_sum_with_penalty_one_sums_to_zero_over_the_neurons_of_every_sample():
    units = Stamina(9, penalty_form="zero_sum", stamina_decay=0.0, hebbian_threshold=NEVER).double()
    for sample in torch.randn(50, 1, 9, dtype=torch.float64):
        units(sample)
        assert units.gain.abs().max() > 0.1
        assert abs(float(units.gain.sum())) < 1e-12


@pytest.mark.parametrize("p", [0.125, 0.5, 0.75])
def test_frequency_with_a_prior_and_constant_penalty_one_is_twice_the_log_odds_rule(p):
    units = Stamina(
        8, activity="frequency", penalty_form="constant", firing_prior=p, stamina_decay=0.0
    ).double()
    x = torch.randn(40, 8, dtype=torch.float64)
    units(x)
    torch.testing.assert_close(units.gain, 2 * ((x > 0).double() - p).mean(0), rtol=0, atol=1e-12)


# the losses on the outputs


def literal_loss(outputs, outgoing, large, bonus):
    """The loss as written, over the outputs of the living neurons and the norms of their outgoing weights."""
    share = outputs.mean(0) / outputs.mean(0).sum()
    entropy = -sum(q * q.log() for q in share if q > 0)
    contribution = outputs.std(0, correction=0) * outgoing
    excess = contribution / contribution.mean().detach() - 1
    return large * sum(each**2 for each in excess if each > 0) - bonus * entropy


def penalised_net(**knobs):
    net = nn.Sequential(nn.Linear(5, 6), Stamina(6, hebbian_threshold=NEVER, **knobs), nn.Linear(6, 3))
    net = net.double()
    attach(net, torch.optim.SGD(net.parameters(), lr=0.0))
    return net


def task_grads(net, x, y):
    return torch.autograd.grad(F.cross_entropy(net(x), y), list(net.parameters()))


X = torch.randn(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.arange(20) % 3


@pytest.mark.parametrize("pruned", [[], [1, 4]], ids=["all alive", "two pruned"])
@pytest.mark.parametrize(("large", "bonus"), [(0.5, 0.0), (0.0, 0.25), (0.125, 2.0)])
def test_the_losses_add_the_gradient_of_the_literal_formula(large, bonus, pruned):
    net = penalised_net(size_penalty=large, entropy_bonus=bonus)
    net[1].alive[pruned] = False
    alive = net[1].alive.clone()

    hidden = F.relu(net[0](X)) * alive
    outgoing = net[2].weight.detach().norm(dim=0)[alive]
    loss = F.cross_entropy(net[2](hidden), Y) + literal_loss(hidden[:, alive], outgoing, large, bonus)
    expected = torch.autograd.grad(loss, list(net.parameters()))
    torch.testing.assert_close(task_grads(net, X, Y), expected, rtol=1e-7, atol=1e-9)

    plain = penalised_net()
    state = {key: each for key, each in net.state_dict().items() if not key.endswith(("penalty", "bonus"))}
    plain.load_state_dict(state, strict=False)
    assert not torch.allclose(task_grads(plain, X, Y)[0], expected[0], rtol=1e-3)


def test_the_losses_of_a_stack_are_those_of_each_net():
    nets = [
        penalised_net(size_penalty=large, entropy_bonus=bonus)
        for large, bonus in ((0.5, 0.0), (0.0, 0.25), (0.125, 2.0))
    ]
    nets[1][1].alive[2] = False
    parameters, buffers = stack_module_state(nets)
    buffers = {name: value.clone() for name, value in buffers.items()}

    def loss(parameters, buffers):
        return F.cross_entropy(functional_call(nets[0], (parameters, buffers), (X,)), Y)

    stacked = torch.autograd.grad(vmap(loss)(parameters, buffers).sum(), list(parameters.values()))
    solo = [torch.stack(grads) for grads in zip(*(task_grads(net, X, Y) for net in nets), strict=True)]
    torch.testing.assert_close(list(stacked), solo, rtol=1e-9, atol=1e-12)


def test_a_layer_without_living_units_has_finite_losses():
    net = penalised_net(size_penalty=1.0, entropy_bonus=1.0)
    net[1].alive.zero_()
    assert all(grad.isfinite().all() for grad in task_grads(net, X, Y))


def test_training_with_an_entropy_bonus_makes_expected_outputs_more_uniform():
    def distance_to_uniform(weight):
        net = unequal_net(entropy_bonus=weight)
        output = trained_outputs(net).mean(0)
        share = output / output.sum()
        return float(torch.special.xlogy(share, share * 6).sum())  # log 6 - H(q)

    assert distance_to_uniform(1.0) < 0.1 * distance_to_uniform(0.0)


def test_training_with_a_size_penalty_shrinks_the_largest_contribution_and_lifts_no_small_one():
    def shares(weight):
        net = unequal_net(size_penalty=weight)
        return (trained_outputs(net).std(0) * net[2].weight.norm(dim=0)).detach().sort().values

    free, penalised = shares(0.0), shares(1.0)
    assert penalised[-1] < 0.8 * free[-1]
    assert penalised[0] <= free[0]


def test_units_below_the_mean_contribution_get_no_gradient_from_the_size_penalty():
    net, plain = unequal_net(size_penalty=1.0), unequal_net()
    with_penalty, without = (task_grads(each, X, Y)[0] for each in (net, plain))
    hidden = F.relu(net[0](X))
    small = (contribution := hidden.std(0) * net[2].weight.norm(dim=0)) < contribution.mean()
    assert 0 < small.sum() < 6
    changes = (with_penalty - without).abs().amax(1)
    assert changes[~small].min() > 1e-3
    assert changes[small].max() == 0


def unequal_net(**knobs):
    """A layer of very unequal neurons."""
    torch.manual_seed(1)
    net = penalised_net(**knobs)
    with torch.no_grad():
        net[0].weight.mul_(torch.logspace(-1, 1, 6)[:, None])
    return net


def trained_outputs(net):
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(net(X), Y).backward()
        optimizer.step()
    return F.relu(net[0](X)).detach()


# inputs, and knobs


def test_a_constant_input_is_pruned():
    units = InputStamina(5, warmup=10, prune_period=5)
    for _ in range(10):
        x = torch.randn(16, 5)
        x[:, 3] = 0.0  # as a constant feature is after standardising
        units(x)
    assert units.alive.tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("knob", KNOBS.values(), ids=KNOBS.keys())
def test_a_knob_allows_its_default_and_its_sensible_range(knob):
    assert knob.problem(knob.default) is None
    if knob.choices:
        assert knob.default in knob.choices
    else:
        assert knob.low <= knob.sensible[0] < knob.sensible[1] <= knob.high
        assert not knob.log or knob.sensible[0] > 0
