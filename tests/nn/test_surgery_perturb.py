"""Decay and noise after a step of the optimiser, against arithmetic on numbers drawn one by one."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from hebbevo.nn import PlasticUnits, attach, masked
from hebbevo.nn.layer_units import NOISE_STREAM
from hebbevo.nn.stateless_random import uniform_at
from hebbevo.nn.surgery import normal
from hebbevo.nn.wiring import Wiring, named_tensors
from hebbevo.rules import UNITS
from hebbevo.rules.units.rule import Perturbation, UnitRule, unit_knobs
from tests.rules.conftest import HIDDEN, RuleTraining, is_compacted
from tests.training.conftest import living_only

SEED, STEP = 5, 7


class Shaken(UnitRule):
    """Perturbs every unit in another way, and prunes none."""

    name = "shaken"
    knobs = unit_knobs(scheduled="threshold")
    perturbs = True
    decay, shrinkage, noise = 0.0, 0.0, 0.0

    def score(self, k, s, layer):
        return layer.alive + 1.0

    def perturbation(self, k, s, layer):
        unit = torch.arange(layer.alive.shape[-1], dtype=torch.float64)
        return Perturbation(self.decay * (1 + unit), self.shrinkage * (1 + unit), self.noise * (1 + unit))


def shaken(**sizes):
    rule = Shaken()
    vars(rule).update(sizes)
    return rule


def drawn(place, index):
    """The normal numbers for the entries of the tensor at a place, by another library than the engine's."""
    index = torch.as_tensor(index)
    found = uniform_at(torch.tensor(SEED), torch.tensor(STEP), index, NOISE_STREAM - place)
    return torch.from_numpy(stats.norm.ppf(found.double().numpy())).reshape(index.shape)


def perturbed(net, dead=()):
    """The tensors of a net before and after one perturbation at step `STEP`."""
    net = net.double()
    [units] = [module for module in net.modules() if isinstance(module, PlasticUnits)]
    units.steps.fill_(STEP)
    units.alive[list(dead)] = False
    tensors = named_tensors(net)
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    Wiring(net).perturb(tensors)
    return before, tensors


def unit_scale(n, size, axes):
    return (size * (1 + torch.arange(n, dtype=torch.float64))).reshape(-1, *(1,) * (axes - 1))


@dataclass
class Expected:
    """A literal perturbation of a tensor whose first axis is that of the units."""

    rule: UnitRule
    place: int
    decays: bool = True

    def of(self, before):
        n, axes = len(before), before.dim()
        size = before.abs()
        if self.decays:
            size = (1 - unit_scale(n, self.rule.decay, axes)) * size - unit_scale(
                n, self.rule.shrinkage, axes
            )
        numbers = np.arange(before.numel()).reshape(before.shape)
        return before.sign() * size.clamp(min=0) + unit_scale(n, self.rule.noise, axes) * drawn(
            self.place, numbers
        )


SIZES = [
    dict(decay=0.1),
    dict(shrinkage=0.05),
    dict(noise=0.3),
    dict(decay=0.02, shrinkage=0.01, noise=0.1),
]


@pytest.mark.parametrize("sizes", SIZES, ids="-".join)
def test_weights_and_biases_to_units_decay_and_get_noise_each_by_its_number(sizes):
    rule = shaken(**sizes)
    net = nn.Sequential(nn.Linear(6, 4), PlasticUnits(rule, 4, seed=SEED), nn.Linear(4, 3))
    before, after = perturbed(net)
    torch.testing.assert_close(after["0.weight"], Expected(rule, 0).of(before["0.weight"]))
    torch.testing.assert_close(after["0.bias"], Expected(rule, 1).of(before["0.bias"]))
    assert all(torch.equal(after[name], before[name]) for name in ("2.weight", "2.bias"))


def test_before_a_batch_norm_only_its_scale_decays_and_all_get_noise():
    rule = shaken(**SIZES[-1])
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), PlasticUnits(rule, 4, dim=1, seed=SEED), nn.Conv2d(4, 3, 1)
    )
    net[1].bias.data.uniform_(-1, 1)
    before, after = perturbed(net)
    places = {"0.weight": 0, "0.bias": 1, "1.weight": 2, "1.bias": 3}
    for name, place in places.items():
        expected = Expected(rule, place, decays=name == "1.weight").of(before[name])
        torch.testing.assert_close(after[name], expected)
    assert torch.equal(after["1.running_mean"], before["1.running_mean"])


def test_before_a_batch_norm_without_a_scale_the_weights_decay():
    rule = shaken(decay=0.1)
    norm = nn.BatchNorm1d(4, affine=False)
    before, after = perturbed(
        nn.Sequential(nn.Linear(6, 4), norm, PlasticUnits(rule, 4, seed=SEED), nn.Linear(4, 3))
    )
    torch.testing.assert_close(after["0.weight"], Expected(rule, 0).of(before["0.weight"]))


def test_pruned_units_pruned_inputs_and_connections_that_are_out_get_no_noise():
    torch.manual_seed(0)
    rule = shaken(noise=0.5)
    first = PlasticUnits(UNITS["random"], 6, seed=1)
    units = PlasticUnits(rule, 4, seed=SEED)
    net = nn.Sequential(
        nn.Linear(5, 6), first, masked("magnitude", nn.Linear(6, 4), seed=2), units, nn.Linear(4, 3)
    )
    first.alive[2] = units.alive[3] = False
    net[2].connections[0].connected[0, :3] = False
    tensors = named_tensors(net)
    weight, bias = (tensors[f"2.module.{name}"] for name in ("weight", "bias"))
    before, bias_before = weight.clone(), bias.clone()
    Wiring(net).perturb(tensors)
    moved = weight != before
    expected = torch.ones(4, 6, dtype=torch.bool)
    expected[3] = expected[:, 2] = expected[0, :3] = False
    assert torch.equal(moved, expected)
    assert torch.equal(bias != bias_before, torch.tensor([True, True, True, False]))


def test_zero_decay_and_zero_noise_leave_every_bit():
    before, after = perturbed(nn.Sequential(nn.Linear(6, 4), PlasticUnits(shaken(), 4), nn.Linear(4, 3)))
    assert all(torch.equal(after[name], each) for name, each in before.items())


def test_noise_is_normal_and_another_one_at_each_step_and_tensor():
    draws = [
        normal(uniform_at(torch.tensor(3), torch.tensor(step), torch.arange(20_000), NOISE_STREAM - place))
        for step, place in ((1, 0), (2, 0), (1, 1))
    ]
    for each in draws:
        assert stats.kstest(each, "norm").pvalue > 1e-3
        assert each.isfinite().all()
    assert np.abs(np.corrcoef(torch.stack(draws)) - np.eye(3)).max() < 0.03


def test_noise_on_weights_in_half_precision_is_finite_and_rounded_once():
    net = nn.Sequential(nn.Linear(3000, 4), PlasticUnits(shaken(noise=0.1), 4, seed=SEED), nn.Linear(4, 3))
    net[0].weight.data.zero_()
    half = copy.deepcopy(net).bfloat16()
    for each in (net, half):
        each[1].steps.fill_(STEP)
        Wiring(each).perturb(named_tensors(each))
    torch.testing.assert_close(half[0].weight, net[0].weight.bfloat16())


def test_a_rule_that_does_not_ask_is_not_perturbed():
    net = nn.Sequential(nn.Linear(6, 4), PlasticUnits(UNITS["magnitude"], 4), nn.Linear(4, 3))
    assert not Wiring(net).perturbs
    before, after = perturbed(net)
    assert all(torch.equal(after[name], each) for name, each in before.items())


def test_attached_the_weights_are_perturbed_once_after_each_step_of_the_optimiser():
    torch.manual_seed(0)
    rule = shaken(noise=0.1)
    net = nn.Sequential(nn.Linear(6, 4), PlasticUnits(rule, 4, seed=SEED), nn.Linear(4, 3)).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(net, optimizer)
    before = net[0].weight.detach().clone()
    net[1].steps.fill_(STEP - 1)
    net(torch.ones(2, 6, dtype=torch.float64)).sum().backward()
    assert torch.equal(net[0].weight, before)
    optimizer.step()
    torch.testing.assert_close(net[0].weight.detach(), Expected(rule, 0).of(before))


# the ways in which networks are trained

STILL = (1e-30, 1e-30, 1e-30)  # learning rates at which no weight moves in double precision


@pytest.mark.parametrize("how", ["alone", "stack", "compact"])
@pytest.mark.parametrize("connections", ["full", "magnitude"])
def test_in_every_stack_a_weight_gets_the_noise_and_decay_of_its_number(how, connections):
    knobs = {
        "schedule": "target", "target": 6, "events": 4, "warmup": 0, "settle": 0.25, "density": 0.5,
        "decay": 0.05, "noise": 0.2, "regulariser": "l2", "rise": 0.4, "weight_decay": 0.0,
    }  # fmt: skip
    training = RuleTraining("demp", connections, knobs=knobs)
    cohort = training.cohort(how, rates=STILL)
    unpruned, steps = cohort.state, 0
    before = {name: tensor[0].clone() for name, tensor in unpruned.items()}
    weights = {place: before[name].clone() for place, name in weight_names(before).items()}
    layers = unit_names(before)
    for epoch in range(training.epochs):
        for rows in cohort.minibatches(epoch):
            cohort.train_step(rows)
            steps += 1
            state = {name: tensor[0] for name, tensor in cohort.state.items()}
            for place, weight in weights.items():
                perturb_literally(weight, state, layers[place], before, steps)
        cohort.measure()
    if how == "compact":
        assert is_compacted(cohort)
    state = {name: tensor[0] for name, tensor in cohort.state.items()}
    for place, name in weight_names(before).items():
        living = state[f"{layers[place]}.alive"]
        assert 0 < living.sum() < HIDDEN[place]
        kept = state[name][living] != 0
        assert kept.any()
        torch.testing.assert_close(state[name][living][kept], weights[place][living][kept])


def test_channels_and_the_batch_norm_before_them_get_the_same_alone_and_in_a_stack():
    knobs = {"schedule": "target", "events": 4, "decay": 0.02, "noise": 0.05}
    training = RuleTraining("demp", family="conv", knobs=knobs, epochs=2)
    alone, stack = training.cohort("alone"), training.cohort("stack")
    for cohort in (alone, stack):
        for _ in range(training.epochs):
            cohort.train_epoch()
    found = {name: tensor[:1] for name, tensor in stack.state.items()}
    torch.testing.assert_close(alone.state, found, rtol=1e-8, atol=1e-8)


def test_connections_that_keep_their_weights_while_they_are_out_get_the_same_in_every_stack():
    knobs = {"schedule": "target", "events": 4, "decay": 0.02, "noise": 0.05}
    training = RuleTraining("demp", "hebb_mask", knobs=knobs)
    states = []
    for how in ("alone", "stack", "compact"):
        cohort = training.cohort(how)
        for _ in range(training.epochs):
            cohort.train_epoch()
        states.append(living_only({name: tensor[0].clone() for name, tensor in cohort.state.items()}))
    alone, stack, compact = states
    assert not all(each.all() for name, each in stack.items() if name.endswith("connected"))
    for each in (alone, compact):
        torch.testing.assert_close(each, stack, rtol=1e-8, atol=1e-8)


def unit_names(state):
    return [name.removesuffix(".alive") for name in state if name.endswith(".alive")]


def weight_names(state):
    """The names of the weights that feed units, by the place of the layer."""
    weights = [name for name in state if name.endswith("weight")]
    return dict(enumerate(weights[:-1]))


def perturb_literally(weight, state, units, start, step):
    """One step on all weights, those of pruned units too: which are compared is decided in the end."""
    silent = state[f"{units}.silent"] > 0
    total = int(state[f"{units}.total_steps"])
    cycle = one_cycle(step - 1, int(total * 0.75))
    numbers = torch.arange(weight.numel()).reshape(weight.shape)
    found = uniform_at(start[f"{units}.seed"], torch.tensor(step), numbers, NOISE_STREAM)
    noise = torch.from_numpy(stats.norm.ppf(found.double().numpy()))
    weight.mul_(1 - 0.05 * cycle).add_(0.2 * cycle * noise * ~silent.unsqueeze(1))


def one_cycle(step, total):
    if step >= total:
        return 0.0
    peak = round(0.4 * total)
    first, last, done = (
        (1 / 25, 1, step / peak) if step < peak else (1, 1 / 25e4, (step - peak) / (total - peak))
    )
    return last + (first - last) * (1 + np.cos(np.pi * done)) / 2
