"""Activation functions in which units compete."""

import numpy as np
import pytest
import torch
from torch import nn

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.nn import KWinners, Triangle


def test_a_triangle_is_what_is_above_the_mean_of_the_units():
    u = torch.randn(4, 5, 3, 2, dtype=torch.float64)
    above = u.numpy() - u.numpy().mean(axis=1, keepdims=True)
    for power in (0.5, 1.0, 1.5):
        expected = np.maximum(above, 0) ** power
        torch.testing.assert_close(Triangle(power)(u).numpy(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(Triangle(dim=-1)(u[..., 0, 0]), Triangle()(u)[..., 0, 0])


@pytest.mark.parametrize("k", [1, 3, 5])
def test_of_the_k_largest_outputs_those_above_zero_are_left(k):
    u = torch.randn(6, 5, 2)
    expected = torch.zeros_like(u)
    for row in range(6):
        for place in range(2):
            for unit in u[row, :, place].argsort(descending=True)[:k]:
                expected[row, unit, place] = u[row, unit, place].clamp(min=0)
    assert torch.equal(KWinners(k)(u), expected)
    assert torch.equal(KWinners(k, power=0.0)(u), (expected > 0).float())


def test_tied_units_all_win_and_silent_rows_have_no_winner():
    u = torch.tensor([[2.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -3.0]])
    assert KWinners(1, power=0.0)(u).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("module", [Triangle(0.5), KWinners(2, power=0.5)])
def test_gradients_are_finite_where_units_are_off(module):
    u = torch.tensor([[1.0, 1.0, 1.0], [0.0, 4.0, -1.0]], requires_grad=True)
    module(u).sum().backward()
    assert torch.isfinite(u.grad).all()
    assert u.grad[1, 1] > 0


@pytest.mark.parametrize("module", [Triangle(1.5).double(), KWinners(2, power=1.5).double()])
def test_the_gradient_is_that_of_the_function(module):
    u = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, u)


def test_nets_behind_them_are_counted():
    for module in (Triangle(dim=-1), KWinners(3, dim=-1)):
        net = nn.Sequential(nn.Linear(4, 6), module, nn.Linear(6, 2))
        counted = hebbevo.count(net)
        assert counted.attrs["notes"] == []
        assert counted.loc["total", "neurons_alive"] == 6


def test_what_is_no_power_or_number_is_refused():
    with pytest.raises(UsageError, match="Triangle: power=0; write a number above 0"):
        Triangle(0)
    with pytest.raises(UsageError, match="KWinners: k=0; write a whole number of 1 or more"):
        KWinners(0)
    with pytest.raises(UsageError, match=r"KWinners: k=2.5; write a whole number of 1 or more"):
        KWinners(2.5)
    with pytest.raises(UsageError, match="KWinners: k=4, of 3 units; write at most as many"):
        KWinners(4)(torch.ones(2, 3))
    with pytest.raises(UsageError, match="KWinners: power=-1; write a number of 0 or more"):
        KWinners(1, power=-1)
