"""Modules of PyTorch alone compute what plastic ones compute in evaluation mode."""

import io

import pytest
import torch
from torch import nn

from hebbevo.nn import HebbMask, InputStamina, PlasticUnits, Stamina
from hebbevo.nn.credit import Credit, CreditedLinear
from hebbevo.nn.cutting.plain_modules import plain_units, scale, select, without_masks
from hebbevo.rules import UNITS
from tests.rules.test_credit_seam import Feedback


def test_what_selects_and_scales_can_be_saved_and_copied():
    net = nn.Sequential(select(torch.tensor([2, 0]), 1), scale(torch.tensor([2.0, 3.0])))
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    x = torch.tensor([[5.0, 6.0, 7.0]])
    assert torch.load(file, weights_only=False)(x).tolist() == net(x).tolist() == [[14.0, 15.0]]


@pytest.mark.parametrize("rule", UNITS)
@pytest.mark.parametrize("dim, shape", [(-1, (5, 6)), (1, (5, 6, 2, 3)), (-2, (5, 6, 3))])
def test_units_of_every_rule_are_masked_relus(rule, dim, shape):
    units = PlasticUnits(UNITS[rule], 6, dim=dim, seed=0).eval()
    units.alive[[1, 4]] = False
    for parameter in units.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(shape)
    all_stay = torch.ones(6, dtype=torch.bool)
    assert torch.equal(plain_units(units, all_stay, x.dim(), selects=False)(x), units(x))
    stays = units.alive.clone()
    few = plain_units(units, stays, x.dim(), selects=True)(x)
    assert torch.equal(few, units(x).index_select(dim, stays.nonzero()[:, 0]))


def test_units_that_are_all_alive_leave_a_relu_or_nothing():
    stays = torch.ones(3, dtype=torch.bool)
    assert type(plain_units(Stamina(3), stays, 2, selects=False)) is nn.ReLU
    assert type(plain_units(InputStamina(3), stays, 2, selects=True)) is nn.Identity


def test_masks_and_credit_rules_leave_plain_layers_that_are_trained_and_have_no_hooks():
    inner = nn.Conv1d(4, 4, 3, padding=1, groups=2, padding_mode="circular")
    linear = nn.Linear(6, 2)
    credited = CreditedLinear(linear, Credit(Feedback(), linear.weight))
    net = nn.Sequential(HebbMask(inner, ["weight"]), nn.ReLU(), credited).eval()
    net[0].connections[0].connected[0] = False
    x = torch.randn(3, 4, 6)
    expected = net(x)
    plain = without_masks(net)
    assert [type(each) for each in plain] == [nn.Conv1d, nn.ReLU, nn.Linear]
    assert torch.equal(plain(x), expected)
    assert all(each.requires_grad for each in plain.parameters())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in plain.modules())


def test_a_mask_that_is_the_whole_network_leaves_its_layer():
    net = HebbMask(nn.Linear(3, 2), ["weight"])
    assert without_masks(net) is net.module
