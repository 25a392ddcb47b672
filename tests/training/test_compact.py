"""Chains: the nets that `torch.func` would train, without the neurons that are out."""

from dataclasses import replace
from itertools import pairwise, product

import pytest
import torch
from torch import nn

from hebbevo.networks import Architecture
from hebbevo.nn import Stamina
from hebbevo.nn.liveness.paths import COUNTS, survivors
from hebbevo.nn.plastic import Named
from hebbevo.nn.statistics import KnownChoice, Window, gathered, observe
from hebbevo.rules import UNITS
from hebbevo.rules.units import stamina
from hebbevo.rules.units.statistics import Minibatch
from hebbevo.training import CohortTraining, Rows, slots
from hebbevo.training.compact import CompactStack
from hebbevo.training.slots import levels as levels_of
from hebbevo.training.stack import VmapStack
from tests.nn.living import of_the_living
from tests.training.test_cohort import (
    ALIKE,
    CPU,
    FORMS,
    MIXED,
    double,
    made,
    nets,
    problem,
    reached,
    recipe,
    state,
)

APART = {"optimizer", "large_neuron_penalty", "entropy_bonus"}
CHAINED = [genome for genome in MIXED if not APART & {*genome}]


@pytest.fixture(autouse=True)
def many_levels(monkeypatch):
    """Slots go and come with every few neurons, even in nets as small as these."""
    monkeypatch.setattr(slots, "SLOT_MULTIPLE", 3)
    monkeypatch.setattr(slots, "LEVEL_STEPS", ((0.95, 1),))


def in_slots_or_not(the_recipe, genomes, split, monkeypatch, chained):
    rows = Rows.of(split, the_recipe.network.shape, CPU)
    with monkeypatch.context() as patch:
        if not chained:
            patch.setattr(CompactStack, "of", lambda *_: None)
        return double(the_recipe, genomes, rows)


@pytest.mark.parametrize(
    ("hidden", "inputs", "genomes"),
    [
        ((37, 53), False, ALIKE),
        ((37, 53), True, CHAINED),
        ((300, 100), False, CHAINED),
        ((7,), True, ALIKE),
        ((19, 31, 11), False, [*ALIKE, {"rebirth": "old", "regrowth_rate": 0.5}]),
        ((37, 53), False, [*ALIKE, *({**genome, "regrowth_rate": 0.0} for genome in ALIKE)]),
    ],
)
def test_a_chain_trains_the_nets_that_torch_func_trains(monkeypatch, hidden, inputs, genomes):
    the_recipe, split = recipe(hidden, inputs, epochs=4), problem()
    ours, theirs = (
        in_slots_or_not(the_recipe, genomes, split, monkeypatch, chained) for chained in (True, False)
    )
    levels = set()
    for _ in range(4):
        ours.train_epoch()
        theirs.train_epoch()
        assert all(isinstance(part.nets, CompactStack) for part in ours.sub_cohorts)
        levels |= {part.nets.level for part in ours.sub_cohorts}
        for row in range(len(genomes)):
            one, other = of_the_living(state(ours, row)), of_the_living(state(theirs, row))
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
    assert len(levels) > 2 or hidden == (7,)
    for one, other in zip(ours.measurements(), theirs.measurements(), strict=True):
        assert repr(reached(one)) == repr(reached(other))


def test_slots_go_with_the_dead_and_come_back_with_the_born(monkeypatch):
    the_recipe, split = recipe((60, 40), epochs=3, settle=0.0), problem()
    genome = {"unactivation_penalty": 3.0, "regrowth_rate": 0.05, "max_deaths": 0.9, "grace": 0}
    cohort = made(the_recipe, [genome, {"unactivation_penalty": 0.0, "regrowth_rate": 0.0}], split)
    slots = []
    for rows in [rows for epoch in range(3) for rows in cohort.minibatches(epoch)]:
        cohort.train_step(rows)
        [(part, row)] = [(part, part.rows.tolist().index(0)) for part in cohort.sub_cohorts if 0 in part.rows]
        slots.append(part.nets.slots)
        alive = [state(cohort, 0)[f"units.{layer}.alive"].sum() for layer in (0, 1)]
        assert all(0 <= living <= width for living, width in zip(alive, part.nets.slots, strict=True))
        assert sum(part.nets._units[layer].tensors["alive"][row].sum() for layer in (0, 1)) == sum(alive)
    assert slots[0] == (60, 40)
    assert min(slots) < (30, 20)
    assert any(one < other for one, other in pairwise(slots))
    full = [part for part in cohort.sub_cohorts if 1 in part.rows]
    assert full[0].nets.slots == (60, 40)


def test_who_may_return_with_old_weights_keeps_all_slots():
    the_recipe, split = recipe((60, 40), epochs=2, rebirth="old", unactivation_penalty=3.0), problem()
    cohort = made(the_recipe, [{}, {"learning_rate": 1e-2}], split)
    cohort.train()
    assert [part.nets.slots for part in cohort.sub_cohorts] == [(60, 40)]
    assert not state(cohort, 0)["units.0.alive"].all()


def test_a_net_with_a_tenth_of_its_neurons_has_less_than_a_third_of_the_weights_to_compute(monkeypatch):
    monkeypatch.undo()
    levels = levels_of((784, 300, 100, 10), [0, 1])
    weights = [sum(a * b for a, b in pairwise(widths)) for widths in levels]
    assert levels[0] == (784, 300, 100, 10)
    fitting = [
        each for each, widths in zip(weights, levels, strict=True) if widths[1] >= 30 and widths[2] >= 10
    ]
    assert min(fitting) < weights[0] / 3


@pytest.mark.parametrize("widths", [(11, 37, 53, 4), (64, 128, 128, 10), (5, 7, 3), (3, 1000, 2)])
def test_levels_have_fewer_and_fewer_slots_and_never_more_than_neurons(widths):
    levels = levels_of(widths, range(len(widths) - 2))
    assert levels[0] == widths
    for before, after in pairwise(levels):
        assert after != before
        assert all(a <= b for a, b in zip(after, before, strict=True))
        assert (after[0], after[-1]) == (widths[0], widths[-1])
        assert all(width > 0 for width in after)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("inputs", [False, True])
def test_survivors_of_a_chain_are_those_on_live_paths(count, inputs):
    the_recipe, split = replace(recipe((19, 13), inputs, epochs=2), count=count), problem()
    cohort = made(the_recipe, CHAINED, split)
    measured = cohort.train()
    for row, own in enumerate(measured):
        [net] = nets(the_recipe, [CHAINED[row]])
        net.load_state_dict(state(cohort, row))
        left = survivors(net, torch.ones(1, 11), COUNTS[count])
        assert (list(own.layers), own.inputs) == (left.alive[0].tolist(), left.inputs.item())


def units(**knobs):
    """Two nets' worth of knobs and buffers as one stack, by name."""
    both = [Stamina(6, **{name: value[row] for name, value in knobs.items()}) for row in (0, 1)]
    stack = {name: torch.stack([getattr(each, name) for each in both]) for name, _ in both[0].named_buffers()}
    return {name: each.double() if each.is_floating_point() else each for name, each in stack.items()}


@pytest.mark.parametrize("forms", [("mean", form) for form in FORMS] + [("zero_sum", "constant")])
@pytest.mark.parametrize("activities", [*product(stamina.ACTIVITIES, stamina.ACTIVITIES[::2])])
def test_choices_that_are_known_give_the_sums_of_choices_that_are_not_looked_at(forms, activities):
    knobs = dict(
        penalty_form=forms, activity=activities, firing_prior=(0.3, 0.6), unactivation_penalty=(0.5, 2.0)
    )
    ours, theirs = units(**knobs), units(**knobs)
    alive = torch.tensor([[True, True, False, True, True, False], [True] * 6])
    for stack in (ours, theirs):
        stack["alive"].copy_(alive)
        stack["outgoing"].copy_(torch.linspace(0.5, 2.0, 12).view(2, 6))
    rule = UNITS["stamina"]
    statistics = gathered(rule, lambda *_: True)
    window = Window(statistics, Named(ours, 1, ["firing_prior"]), Named(ours), KnownChoice)
    for _ in range(3):
        y = torch.randn(2, 9, 6, dtype=torch.float64).relu() * alive.unsqueeze(1)
        window.add(Minibatch(y, y))
        observe(rule, y, y, theirs)
    for name in ("gain", "reference", "mean_output"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-12, atol=1e-12)
        assert (ours[name][1] != 0).all()


def test_products_in_bfloat16_move_the_losses_by_their_rounding_and_no_more():
    the_recipe, split = recipe((37, 53), epochs=1, regrowth_rate=0.0, settle=0.9), problem()
    single, half = (
        made(replace(the_recipe, precision=precision), ALIKE, split) for precision in ("float32", "bfloat16")
    )
    single.train_epoch()
    half.train_epoch()
    assert not torch.equal(single.losses, half.losses)
    torch.testing.assert_close(single.losses, half.losses, rtol=0.03, atol=0.03)
    assert {tensor.dtype for tensor in half.state.values() if tensor.is_floating_point()} == {torch.float32}


def test_other_families_have_products_in_bfloat16_too():
    network = Architecture("conv", (8,), "stamina", False, (1, 8, 8), 4, (4,))
    the_recipe = replace(recipe(), network=network, precision="bfloat16")
    genomes = [{}, {"learning_rate": 1e-2}]
    x = torch.randn(32, 1, 8, 8)
    rows = Rows(x, torch.arange(32) % 4, x[:8], torch.arange(8) % 4)
    found = []
    for precision in ("float32", "bfloat16"):
        own = replace(the_recipe, precision=precision)
        values = [own.values(genome) for genome in genomes]
        model, *_ = nets(own, genomes)
        cohort = CohortTraining(own, VmapStack(nets(own, genomes), CPU), values, model, rows)
        cohort.train_epoch()
        found.append(cohort.losses.clone())
    assert not torch.equal(*found)
    torch.testing.assert_close(*found, rtol=0.05, atol=0.05)


def test_chains_without_plastic_units_can_be_stopped_too():
    torch.manual_seed(0)
    plain = [nn.Sequential(nn.Linear(11, 6), nn.ReLU(), nn.Linear(6, 4)) for _ in range(4)]
    the_recipe = recipe(epochs=2)
    values = [the_recipe.training_knobs({})] * 3
    rows = Rows.of(problem(), (11,), CPU)
    cohort = CohortTraining(the_recipe, VmapStack(plain[:3], CPU), values, plain[3], rows)
    assert isinstance(cohort.sub_cohorts[0].nets, CompactStack)
    cohort.train_epoch()
    cohort.stop(torch.tensor([0, 2]))
    cohort.train_epoch()
    assert [len(each.accuracy) for each in cohort.measurements()] == [1, 2, 1]
