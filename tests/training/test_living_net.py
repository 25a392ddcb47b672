"""A net of living channels: it computes what the whole net does, without what is out."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from hebbevo.networks import Architecture
from hebbevo.nn.liveness.paths import COUNTS
from hebbevo.rules import UNITS
from hebbevo.training import CohortTraining, Recipe, Rows
from hebbevo.training.living_net import LivingNet
from hebbevo.training.stack import SingleNet
from tests.training.conftest import CPU, SGD, build_nets, state_of, without_seconds

SHAPE = (2, 8, 6)
# whatever may leave at an event leaves, and much of it returns
BRISK = {
    "schedule": "threshold",
    "threshold": 1e9,
    "hebbian_threshold": 1e9,
    "warmup": 2,
    "prune_period": 2,
    "grace": 2,
    "max_deaths": 0.3,
    "min_neurons": 2,
}
RETURNING = {"regrowth_rate": 0.3, "learning_rate": 1e-2}
# under a threshold `redo` regrows what it prunes, and the scores of `ablation` have no upper bound
TARGET = {"schedule": "target", "target": 4, "events": 3}
ENOUGH = {"redo": TARGET, "ablation": TARGET, "random": SGD}
PRUNING = [name for name, rule in UNITS.items() if rule.prunes and not (rule.parameters or rule.perturbs)]


def recipe(units="stamina", channels=(7, 9), hidden=(11,), shape=SHAPE, **settings):
    network = Architecture("conv", hidden, units, False, shape, 4, channels)
    return Recipe(network, settings, epochs=3, batch_size=16, seed=3)


def rows(shape=SHAPE, dtype=torch.float64):
    """Images whose class shows in their mean."""
    generator = torch.Generator().manual_seed(5)
    y = torch.randint(4, (112,), generator=generator)
    x = torch.randn(112, *shape, generator=generator, dtype=dtype) + y[:, None, None, None] / 2
    return Rows(x[32:], y[32:], x[:32], y[:32])


def training(the_recipe, genome, the_rows):
    """The training of one net, in the precision of its rows."""
    net, model = (build_nets(the_recipe, [genome])[0].to(the_rows.x.dtype) for _ in range(2))
    return CohortTraining(
        the_recipe, SingleNet(net, CPU), [the_recipe.training_knobs(genome)], model, the_rows
    )


def cut_and_whole(the_recipe, genome):
    """The training of the same net without what is out and with it, in double precision."""
    the_rows = rows(the_recipe.network.shape)
    ours, theirs = (
        training(replace(the_recipe, cuts_channels=cuts), genome, the_rows) for cuts in (True, False)
    )
    assert [type(each.sub_cohorts[0].nets) for each in (ours, theirs)] == [LivingNet, SingleNet]
    return ours, theirs


def effective(state):
    """Weights, norms and masks: what the outputs depend on, and nothing of what is out."""
    kinds = ("weight", "bias", "running_mean", "running_var", "alive")
    kept = {name: value.clone() for name, value in state.items() if name.rpartition(".")[2] in kinds}
    for name in [name for name in kept if name.startswith("features") and name.endswith(".alive")]:
        norm = name.removesuffix("2.alive") + "1."
        for key, value in kept.items():
            if key.startswith(norm):
                value[~kept[name]] = 0
    return kept


def assert_trains_the_same(ours, theirs):
    """Train both, and give the shapes of the small net's weights after each step."""
    shapes = []
    for epoch in range(3):
        for minibatch in ours.minibatches(epoch):
            ours.train_step(minibatch)
            theirs.train_step(minibatch)
            shapes.append(tuple(map(tuple, ours.sub_cohorts[0].nets.shapes)))
        ours.measure()
        theirs.measure()
        one, other = (effective(state_of(each, 0)) for each in (ours, theirs))
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(ours.losses, theirs.losses, rtol=1e-9, atol=1e-12)
    one, other = (each.measurements()[0] for each in (ours, theirs))
    assert without_seconds(one) == without_seconds(other)
    return shapes


@pytest.mark.parametrize("units", PRUNING)
def test_a_net_trains_without_what_is_out_as_with_it(units):
    settings = {**BRISK, **RETURNING, "handover": True, "initial_neurons": 0.8}
    ours, theirs = cut_and_whole(recipe(units, **settings), ENOUGH.get(units, {}))
    shapes = assert_trains_the_same(ours, theirs)
    assert len({*shapes}) > 1


@pytest.mark.parametrize(
    "shape",
    [
        {"channels": (5,), "hidden": ()},  # the head reads the maps
        {"channels": (6, 5, 4), "hidden": (7, 6)},
        {"channels": (5, 6), "shape": (1, 3, 3)},  # too small to be pooled
        {"channels": (1, 1), "hidden": (1,)},
    ],
)
def test_it_does_so_in_every_shape_of_network(shape):
    ours, theirs = cut_and_whole(recipe(**shape, **{**BRISK, "min_neurons": 1}), RETURNING)
    assert_trains_the_same(ours, theirs)


def test_channels_leave_the_computation_and_come_back():
    ours, theirs = cut_and_whole(recipe(**BRISK), {**RETURNING, "regrowth_rate": 0.5})
    sizes = [shapes[0][0] for shapes in assert_trains_the_same(ours, theirs)]
    assert sizes[0] == 7
    assert min(sizes) < 5
    assert any(one < other for one, other in pairwise(sizes))


def test_a_channel_that_would_return_with_its_old_weights_stays():
    ours, theirs = cut_and_whole(recipe(**BRISK, rebirth="old"), RETURNING)
    assert len({*assert_trains_the_same(ours, theirs)}) == 1
    assert not state_of(ours, 0)["features.0.2.alive"].all()


def test_a_layer_may_lose_all_its_channels():
    settings = {**BRISK, "max_deaths": 1.0, "min_neurons": 0}
    ours, theirs = cut_and_whole(recipe("random", **settings), {})
    assert_trains_the_same(ours, theirs)
    assert not state_of(ours, 0)["features.0.2.alive"].any()


@pytest.mark.parametrize("count", COUNTS)
def test_what_is_counted_is_that_of_the_whole_net(count):
    ours, theirs = cut_and_whole(replace(recipe(**BRISK), count=count), RETURNING)
    assert_trains_the_same(ours, theirs)


def test_the_network_that_is_handed_out_has_all_channels_and_the_same_outputs():
    ours, theirs = cut_and_whole(recipe(**BRISK), RETURNING)
    assert_trains_the_same(ours, theirs)
    [net] = build_nets(recipe(**BRISK), [RETURNING])
    x = rows().x_val
    handed_out = ours.network(0, net.double())
    torch.testing.assert_close(handed_out(x), ours.outputs(x)[0], rtol=1e-9, atol=1e-9)
    assert len(handed_out.features[0][0].weight) == 7
    assert not handed_out.features[0][2].alive.all()


def test_products_in_bfloat16_change_the_losses_by_rounding_alone():
    the_recipe = recipe(regrowth_rate=0.0, warmup=1000)
    single, half = (
        training(replace(the_recipe, precision=each), {}, rows(dtype=torch.float32))
        for each in ("float32", "bfloat16")
    )
    for each in (single, half):
        each.train_epoch()
    assert not torch.equal(single.losses, half.losses)
    torch.testing.assert_close(single.losses, half.losses, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    "genome", [{"units": "l0"}, {"size_penalty": 0.1}, {"connections": "magnitude"}, {"input_noise": 0.1}]
)
def test_nets_with_gates_penalties_masks_or_noise_stay_whole(genome):
    assert isinstance(training(recipe(), genome, rows()).sub_cohorts[0].nets, SingleNet)
