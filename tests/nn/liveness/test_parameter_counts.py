"""Parameters and multiply-adds as survivors, against `hebbevo.count` and against what `compact` leaves."""

from functools import partial

import pytest
import torch
from torch import nn

import hebbevo
from hebbevo.nn import Stamina, rewire
from hebbevo.nn.liveness.paths import COUNTS, LivenessPlan, survivors
from hebbevo.training.stack import VmapStack

IMAGE = (2, 6, 6)


class Convs(nn.Module):
    """Convolutions with a norm, one of them called twice, a linear layer without a bias, a free factor."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.units = Stamina(6, dim=1)
        self.twice = nn.Conv2d(6, 6, 3, padding=1, groups=2)
        self.more = Stamina(6, dim=1)
        self.head = nn.Linear(6, 4, bias=False)
        self.factor = nn.Parameter(torch.ones(3))
        self.unused = nn.Parameter(torch.ones(7))

    def forward(self, x):
        x = self.units(self.norm(self.first(x)))
        x = self.twice(self.twice(x).relu())
        return self.head(self.more(x).mean((2, 3))) * self.factor.sum()


def nets(number=3):
    found = []
    for seed in range(number):
        torch.manual_seed(seed)
        net = Convs()
        for units in (net.units, net.more):
            units.alive.copy_(torch.rand(6) < 0.6)
        with torch.no_grad():
            for layer in (net.first, net.twice, net.head):
                layer.weight.mul_(torch.rand_like(layer.weight) < 0.3)
        found.append(net.eval())
    return found


@pytest.mark.parametrize("count", ["parameters", "multiply_adds"])
def test_what_is_counted_in_a_stack_and_alone_is_what_the_table_of_count_says(count):
    row = torch.ones(1, *IMAGE)
    plan = LivenessPlan.of(Convs(), row)
    stack = VmapStack(nets(), torch.device("cpu"))
    stacked = COUNTS[count].along_paths(plan, partial(stack.call, stacked=True), 3)
    for place, net in enumerate(nets()):
        table = hebbevo.count(net, row)
        alone = survivors(net, row, COUNTS[count])
        assert stacked.layers == alone.layers and stacked.neurons == alone.neurons
        assert stacked.alive[place].tolist() == alone.alive[0].tolist()
        assert alone.alive.sum() == table.loc["total", f"{count}_alive"]
        assert sum(alone.neurons) == table.loc["total", count]
        for layer, alive in zip(alone.layers, alone.alive[0].tolist(), strict=True):
            if layer in table.index:
                assert alive == table.loc[layer, f"{count}_alive"], layer
    assert 0 < stacked.alive.sum() < 3 * sum(stacked.neurons)


@pytest.mark.parametrize("count", ["parameters", "multiply_adds"])
def test_what_is_counted_is_what_the_network_has_once_its_dead_units_are_cut_out(count):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), Stamina(6, dim=1), nn.Conv2d(6, 5, 3), Stamina(5, dim=1),
        nn.Flatten(), nn.Linear(5 * 16, 4),
    ).eval()  # fmt: skip
    for place, dead in ((1, [0, 3]), (3, [2])):
        net[place].alive[dead] = False
    row = torch.ones(1, *IMAGE)
    left = survivors(net, row, COUNTS[count])
    assert left.alive.sum() < sum(left.neurons)
    assert left.alive.sum() == hebbevo.count(hebbevo.compact(net, row), row).loc["total", count]


@pytest.mark.parametrize("count", ["parameters", "multiply_adds"])
def test_connections_that_are_pruned_are_not_counted(count):
    torch.manual_seed(0)
    net = rewire(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), "hebb_mask")
    net[0].masks()["weight"][:, :2] = False
    net[2].masks()["weight"][:, 4] = False  # and with it a unit, its four connections and its bias
    expected = 4 * 4 + 4 * 3 + (4 + 3 if count == "parameters" else 0)
    assert survivors(net.eval(), torch.ones(1, 6), COUNTS[count]).alive.sum() == expected


def test_a_network_that_cannot_be_followed_has_parameters_by_its_own_masks_and_no_multiply_adds():
    class Opaque(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)
            self.free = nn.Parameter(torch.ones(2))

        def forward(self, x):
            return torch.from_numpy(self.fc(x).detach().numpy()) * self.free.sum()

    net = Opaque()
    with torch.no_grad():
        net.fc.weight[0] = 0
    found = survivors(net, torch.ones(1, 4), COUNTS["parameters"])
    assert dict(zip(found.layers, found.alive[0].tolist(), strict=True)) == {
        "free": 2, "fc.weight": 8, "fc.bias": 3
    }  # fmt: skip
    assert "not followed" in found.notes[0]
    assert not survivors(net, torch.ones(1, 4), COUNTS["multiply_adds"]).layers
