"""What the training of a network costs, and the grid on which controls are tuned."""

from itertools import product

import pytest
import torch

from hebbevo.deploy.controls import Cost, DenseSize, first_grid, seed_of, why_none, wider_grid
from hebbevo.networks import Architecture
from hebbevo.nn.liveness.counting import count
from hebbevo.spec import Spec
from hebbevo.spec.schema import Network

MLP = Architecture("mlp", (9, 9), "stamina", False, shape=(1, 8, 8), classes=10)
CONV = Architecture("conv", (9,), "stamina", False, shape=(1, 8, 8), classes=10, channels=(4, 4))


@pytest.mark.parametrize(
    ("family", "widths"), [(MLP, (3, 5)), (MLP, (7,)), (MLP, (2, 3, 4)), (CONV, (3, 2, 6)), (CONV, (5, 4, 1))]
)
def test_multiply_adds_are_those_that_are_counted_in_a_built_network(family, widths) -> None:
    channels = len(family.channels)
    settings = {"channels": [*widths[:channels]], "hidden": [*widths[channels:]], "units": "dense"}
    net = family.build({name: value for name, value in settings.items() if value}, seed=0)
    counted = count(net, torch.zeros(1, 1, 8, 8)).loc["total"].multiply_adds
    assert Cost(family).per_row(widths) == counted


@pytest.mark.parametrize("kind", ["neurons", "connections", "parameters", "multiply_adds"])
@pytest.mark.parametrize(
    ("family", "widths"),
    [(MLP, (3, 7, 2)), (MLP, (1,)), (CONV, (5, 2, 3)), (CONV, (1, 1, 4))],
)
def test_sizes_are_those_that_are_counted_in_a_built_network(family, widths, kind) -> None:
    channels = len(family.channels)
    settings = {"channels": [*widths[:channels]], "hidden": [*widths[channels:]], "units": "dense"}
    net = family.build({name: value for name, value in settings.items() if value}, seed=0)
    counted = count(net, torch.zeros(1, 1, 8, 8)).loc["total"]
    assert DenseSize(family, kind).of(widths) == counted[kind]


@pytest.mark.parametrize("kind", ["connections", "parameters", "multiply_adds"])
@pytest.mark.parametrize("family", [MLP, CONV])
def test_a_control_is_the_smallest_of_its_proportions_with_as_much_as_its_member(family, kind) -> None:
    size, proportions = DenseSize(family, kind), (12, 8, 4)

    def scaled(units: int) -> tuple[int, ...]:
        return tuple(max(1, round(units * width / 12)) for width in proportions)

    for wanted in (1, 100, 333, 1_000, 2_345, 20_000):
        found = size.widths_with(wanted, proportions)
        larger = next(units for units in range(1, 999) if size.of(scaled(units)) >= wanted)
        small, large = scaled(larger - 1), scaled(larger)
        assert wanted <= size.of(found) <= size.of(large)
        assert all(low <= each <= high for low, each, high in zip(small, found, large, strict=True))
        for layer, width in enumerate(found):  # no layer can be narrower
            less = (*found[:layer], small[layer], *found[layer + 1 :])
            assert width == small[layer] or size.of(less) < wanted or layer > 0


def test_a_sparse_training_costs_the_share_that_is_left_of_the_whole_network() -> None:
    cost = Cost(MLP)
    found = cost.of_sparse_training((4, 4), [0.5, 0.25, 0.5], rows=100)
    assert found == 100 * cost.per_row((4, 4)) * (0.5 + 0.5 + 0.5)


def test_an_epoch_costs_as_much_as_the_wider_of_its_two_ends() -> None:
    cost = Cost(MLP)
    shrinking = cost.of_training((4, 4), [(4, 2), (1, 2)], rows=100)
    assert shrinking == 100 * (cost.per_row((4, 4)) + cost.per_row((4, 2)))
    growing = cost.of_training((1, 1), [(2, 1)], rows=100)
    assert growing == 100 * cost.per_row((2, 1))


def test_a_grid_is_widened_where_its_best_point_lies_on_an_edge() -> None:
    grid = first_grid()
    assert wider_grid(grid, (5e-3, 0.1)) == []
    assert wider_grid(grid, (5e-3, 0.0)) == []  # less than no weight decay there is not
    wider = wider_grid(grid, (2e-2, 1.0))
    assert wider == sorted(
        [*product([4e-2], [0.0, 0.01, 0.1, 1.0]), *product([2e-3, 5e-3, 1e-2, 2e-2], [10.0])]
    )


def test_replicates_and_tuning_have_seeds_of_their_own_that_depend_on_the_study() -> None:
    seeds = {seed_of(study, purpose) for study in (0, 1) for purpose in (0, 1, "tuning")}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**62 for seed in seeds)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ({}, ""),
        ({"inputs": True}, "inputs are pruned"),
        ({"count": "connections", "connections": "hebb_mask"}, ""),
        ({"module": "mine:build"}, "the network is your own"),
    ],
)
def test_spaces_without_dense_networks_of_the_same_widths_say_why(network, reason) -> None:
    spec = Spec.model_construct(network=Network.model_construct(**dict(Network()) | network))
    assert why_none(spec).startswith(reason)
    assert bool(why_none(spec)) == bool(reason)
