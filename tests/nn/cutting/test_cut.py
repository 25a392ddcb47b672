"""What leaves a network, what stays and why; and what layers are given."""

import copy

import torch
from torch import nn

from hebbevo.nn import Stamina
from hebbevo.nn.cutting.cut import Cut, Findings

GROUPS, BORDER = "groups of a convolution must be equally large", "it is a constant that no bias can take up"


def cut_of(net, x):
    return Cut(net.eval(), Findings.of(net, x))


def grouped(*dead):
    """Four channels, dead ones among them, before a convolution in two groups of two."""
    net = nn.Sequential(
        nn.Conv1d(1, 4, 1), Stamina(4, dim=1), nn.Conv1d(4, 4, 1, groups=2), nn.Flatten(), nn.Linear(12, 2)
    )
    net[1].alive[list(dead)] = False
    return net, torch.randn(5, 1, 3)


def test_a_whole_group_leaves_where_what_it_gives_is_folded():
    net, x = grouped(0, 1)
    cut = cut_of(net, x)
    assert cut.stays("0").tolist() == cut.stays("2").tolist() == [False, False, True, True]
    small = cut.apply(copy.deepcopy(net))
    assert (small[2].groups, small[2].in_channels, small[2].out_channels) == (1, 2, 2)
    fresh = torch.randn(7, 1, 3)
    torch.testing.assert_close(small(fresh), net(fresh))


def test_a_unit_of_a_group_stays_for_the_other_groups_sake():
    net, x = grouped(0)
    cut = cut_of(net, x)
    assert cut.stays("0").all()
    assert cut.dead_that_stay() == {"0": {GROUPS: 1}}
    net, x = grouped(0, 3)
    cut = cut_of(net, x)
    assert cut.stays("0").tolist() == [False, True, True, False]
    small = cut.apply(copy.deepcopy(net))
    assert (small[2].groups, small[2].in_channels, small[2].out_channels) == (2, 2, 4)
    torch.testing.assert_close(small(x), net(x))


def test_a_shared_layer_with_two_constants_has_no_bias_for_them():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.shared = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 3)

        def forward(self, x):
            return self.shared(self.one(x)) * self.shared(self.two(x))

    net, x = Twice(), torch.randn(4, 2)
    with torch.no_grad():
        net.one.weight[0] = net.two.weight[0] = 0
        net.one.bias[0], net.two.bias[0] = 1.0, 2.0
    assert cut_of(net, x).dead_that_stay() == {"one": {BORDER: 1}, "two": {BORDER: 1}}
    with torch.no_grad():
        net.two.bias[0] = 1.0
    cut = cut_of(net, x)
    assert cut.dead_that_stay() == {}
    torch.testing.assert_close(cut.apply(copy.deepcopy(net))(x), net(x))


def test_ranges_are_those_of_the_values_that_a_layer_is_given():
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)).eval()
    x = torch.randn(6, 3)
    with torch.no_grad():
        net[0].weight[1] = 0
    given = Findings.of(net, x).ranges["2"]
    hidden = net[:2](x)
    torch.testing.assert_close(given.low, hidden.amin(0))
    torch.testing.assert_close(given.high, hidden.amax(0))
    assert given.is_uniform.tolist() == [False, True]
    assert given.varies.tolist() == [True, False]
    torch.testing.assert_close(given.constant, torch.tensor([0.0, net[0].bias[1].tanh().item()]))


def test_parts_that_are_held_stay_whole_or_keep_one():
    net = nn.Sequential(nn.Linear(2, 3), Stamina(3), nn.Linear(3, 3), Stamina(3), nn.Linear(3, 1))
    net[1].alive[:] = False
    net[3].alive[1:] = False
    x = torch.randn(4, 2)
    cut = cut_of(net, x)
    first, second = cut.bundles.parts()
    assert not cut.stays("0").any()
    cut.hold_one(first)
    assert cut.stays("0").sum() == 1
    cut.hold(second, "it is wanted")
    assert cut.stays("2").all()
    assert cut.dead_that_stay()["2"] == {"it is wanted": 3}
