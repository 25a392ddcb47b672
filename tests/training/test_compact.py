"""A compact stack: the same nets as in a vmap stack, without most of their pruned neurons."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from hebbevo.networks import Architecture
from hebbevo.nn.liveness.paths import COUNTS, survivors
from hebbevo.training import CohortTraining, Rows, slots
from hebbevo.training.compact import CompactStack
from hebbevo.training.stack import VmapStack
from tests.training.conftest import (
    CPU,
    FOUR_KINDS,
    ONE_STRUCTURE,
    build_nets,
    living_only,
    make_cohort,
    make_double_cohort,
    problem,
    recipe,
    state_of,
    without_seconds,
)

# a penalty on units needs autograd, and nets with another optimiser train in another stack
NOT_COMPACT = {"optimizer", "size_penalty", "entropy_bonus"}
COMPACT = [genome for genome in FOUR_KINDS if not NOT_COMPACT & {*genome}]


@pytest.fixture(autouse=True)
def many_levels(monkeypatch):
    """Even nets as small as these change their level with every few neurons."""
    monkeypatch.setattr(slots, "SLOT_MULTIPLE", 3)
    monkeypatch.setattr(slots, "LEVEL_STEPS", ((0.95, 1),))


def cohort_of(the_recipe, genomes, split, monkeypatch, compact):
    """A cohort in a compact stack or in a vmap stack."""
    rows = Rows.of(split, the_recipe.network.shape, CPU)
    with monkeypatch.context() as patch:
        if not compact:
            patch.setattr(CompactStack, "of", lambda *_: None)
        return make_double_cohort(the_recipe, genomes, rows)


@pytest.mark.parametrize(
    ("hidden", "inputs", "genomes"),
    [
        ((37, 53), False, ONE_STRUCTURE),
        ((37, 53), True, COMPACT),
        ((300, 100), False, COMPACT),
        ((7,), True, ONE_STRUCTURE),
        ((19, 31, 11), False, [*ONE_STRUCTURE, {"rebirth": "old", "regrowth_rate": 0.5}]),
        ((37, 53), False, [*ONE_STRUCTURE, *({**genome, "regrowth_rate": 0.0} for genome in ONE_STRUCTURE)]),
    ],
)
def test_a_compact_stack_trains_the_same_nets_as_a_vmap_stack(monkeypatch, hidden, inputs, genomes):
    the_recipe, split = recipe(hidden, inputs, epochs=4), problem()
    ours, theirs = (cohort_of(the_recipe, genomes, split, monkeypatch, compact) for compact in (True, False))
    levels = set()
    for _ in range(4):
        ours.train_epoch()
        theirs.train_epoch()
        assert all(isinstance(each.nets, CompactStack) for each in ours.sub_cohorts)
        levels |= {each.nets.level for each in ours.sub_cohorts}
        for row in range(len(genomes)):
            one, other = living_only(state_of(ours, row)), living_only(state_of(theirs, row))
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
    assert len(levels) > 2 or hidden == (7,)
    for one, other in zip(ours.measurements(), theirs.measurements(), strict=True):
        assert repr(without_seconds(one)) == repr(without_seconds(other))


def test_a_net_has_fewer_slots_after_pruning_and_more_again_after_regrowing():
    the_recipe, split = recipe((60, 40), epochs=3, settle=0.0), problem()
    genome = {"unactivation_penalty": 3.0, "regrowth_rate": 0.05, "max_deaths": 0.9, "grace": 0}
    cohort = make_cohort(the_recipe, [genome, {"unactivation_penalty": 0.0, "regrowth_rate": 0.0}], split)
    slots = []
    for rows in [rows for epoch in range(3) for rows in cohort.minibatches(epoch)]:
        cohort.train_step(rows)
        [own] = [each for each in cohort.sub_cohorts if 0 in each.rows]
        slots.append(own.nets.slots)
        for layer in (0, 1):
            units = own.nets.units_in_slots(layer)[own.rows.tolist().index(0)].tolist()
            assert len({*units}) == len(units) == own.nets.slots[layer]
            alive = state_of(cohort, 0)[f"units.{layer}.alive"]
            assert {*alive.nonzero().flatten().tolist()} <= {*units}
    assert slots[0] == (60, 40)
    assert min(slots) < (30, 20)
    assert any(one < other for one, other in pairwise(slots))
    [full] = [each for each in cohort.sub_cohorts if 1 in each.rows]
    assert full.nets.slots == (60, 40)


def test_nets_whose_units_return_with_old_weights_keep_all_slots():
    the_recipe, split = recipe((60, 40), epochs=2, rebirth="old", unactivation_penalty=3.0), problem()
    cohort = make_cohort(the_recipe, [{}, {"learning_rate": 1e-2}], split)
    cohort.train()
    assert [each.nets.slots for each in cohort.sub_cohorts] == [(60, 40)]
    assert not state_of(cohort, 0)["units.0.alive"].all()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("inputs", [False, True])
def test_survivors_of_a_compact_stack_are_those_on_live_paths(count, inputs):
    the_recipe, split = replace(recipe((19, 13), inputs, epochs=2), count=count), problem()
    cohort = make_cohort(the_recipe, COMPACT, split)
    measured = cohort.train()
    for row, own in enumerate(measured):
        [net] = build_nets(the_recipe, [COMPACT[row]])
        net.load_state_dict(state_of(cohort, row))
        left = survivors(net, torch.ones(1, 11), COUNTS[count])
        assert (list(own.layers), own.inputs) == (left.alive[0].tolist(), left.inputs.item())


def test_products_in_bfloat16_change_the_losses_by_rounding_alone():
    the_recipe, split = recipe((37, 53), epochs=1, regrowth_rate=0.0, settle=0.9), problem()
    single, half = (
        make_cohort(replace(the_recipe, precision=precision), ONE_STRUCTURE, split)
        for precision in ("float32", "bfloat16")
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
        values = [own.training_knobs(genome) for genome in genomes]
        model, *_ = build_nets(own, genomes)
        cohort = CohortTraining(own, VmapStack(build_nets(own, genomes), CPU), values, model, rows)
        cohort.train_epoch()
        found.append(cohort.losses.clone())
    assert not torch.equal(*found)
    torch.testing.assert_close(*found, rtol=0.05, atol=0.05)


def test_nets_without_plastic_units_can_be_compact_and_stopped_too():
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
