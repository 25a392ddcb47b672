"""Which parts of a network's tensors belong to living units, so that the rest may leave the computation."""

import pytest
import torch
from torch import nn

from hebbevo.nn import PlasticUnits
from hebbevo.nn.wiring import Wiring, named_tensors
from hebbevo.rules import UNITS


def network(behind, **knobs):
    """Four channels of two by two places, of which the second and the last are out."""
    torch.manual_seed(0)
    units = PlasticUnits(UNITS["usage"], 4, dim=1, **knobs)
    units.alive[1] = units.alive[3] = False
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), units, *behind)


def places(net):
    found = Wiring(net, torch.ones(2, 2, 2, 2)).living_places(named_tensors(net))
    return {name: {axis: own.tolist() for axis, own in each.items()} for name, each in found.items()}


FLAT = (nn.Flatten(), nn.Linear(16, 3))


def test_living_are_the_places_of_living_units_and_of_what_feeds_and_reads_them():
    found = places(network(FLAT))
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "2.alive"):
        assert found[name] == {0: [0, 2]}
    assert found["2.sum_covariance"] == {0: [0, 2], 1: [0, 2]}
    assert found["4.weight"] == {1: [0, 1, 2, 3, 8, 9, 10, 11]}
    assert not {"4.bias", "2.steps", "1.num_batches_tracked"} & found.keys()


def test_between_two_layers_of_units_both_axes_have_places():
    second = PlasticUnits(UNITS["usage"], 3, dim=1)
    second.alive[0] = False
    net = network((nn.Conv2d(4, 3, 1), second, nn.Flatten(), nn.Linear(12, 2)))
    assert places(net)["3.weight"] == {0: [1, 2], 1: [0, 2]}


def test_where_no_unit_lives_one_stays():
    net = network(FLAT)
    net[2].alive.fill_(False)
    assert places(net)["0.weight"] == {0: [0]}


@pytest.mark.parametrize(
    "net",
    [
        network(FLAT, rebirth="old"),  # they keep their weights
        network((nn.Conv2d(4, 4, 1, groups=2), nn.Flatten(), nn.Linear(16, 3))),  # groups must be equal
        network((nn.Softmax(1), *FLAT)),  # it reads all of them
    ],
)
def test_units_that_cannot_leave_have_no_places(net):
    assert places(net) == {}
