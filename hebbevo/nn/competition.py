"""Activation functions in which the units at one place compete; they have no weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hebbevo.errors import UsageError
from hebbevo.nn.traceable import Traceable


class Competition(Traceable):
    """Activations of units that compete at their place: each is one of its unit, others only lower it."""


class Triangle(Competition):
    """What a unit has above the mean of all units at its place, to a power: max(0, u - mean(u))^power.

    With power 1 the "triangle" of Coates, Lee & Ng, 2011 (AISTATS, section 3.2.2), for linear units. SoftHebb
    has other powers (Journé et al., 2023, arXiv:2209.11883). It takes the place of a ReLU.

    Args:
        power: above 0.
        dim: axis of the units: 1 for feature maps, -1 for the outputs of linear layers.

    Shape:
        Input and output are of one shape, (rows, units, *positions).

    Raises:
        UsageError: a power that is not above 0.

    >>> import torch
    >>> from hebbevo.nn import Triangle
    >>> Triangle(power=2.0)(torch.tensor([[1.0, 2.0, 6.0]]))
    tensor([[0., 0., 9.]])
    """

    power: Tensor

    def __init__(self, power: float = 1.0, dim: int = 1) -> None:
        super().__init__()
        if not 0 < power < math.inf:
            raise UsageError(f"Triangle: power={power}; write a number above 0")
        self.register_buffer("power", torch.tensor(float(power)))
        self.dim = dim

    def forward(self, u: Tensor) -> Tensor:
        """Map outputs of a layer to activations of the same shape."""
        return _power(u - u.mean(self.dim, keepdim=True), self.power)

    def extra_repr(self) -> str:
        """Name the power and the axis."""
        return f"power={self.power.flatten()[0]:g}, dim={self.dim}"


class KWinners(Competition):
    """The k units with the largest outputs at each place, as far as they are above 0: max(0, u)^power.

    With power 0 winners have the output 1. With ties there are more winners, and fewer where fewer outputs
    are above 0. It takes the place of a ReLU.

    Args:
        k: number of winners, from 1 to the number of units.
        power: 0 or more.
        dim: axis of the units: 1 for feature maps, -1 for the outputs of linear layers.

    Shape:
        Input and output are of one shape, (rows, units, *positions).

    Raises:
        UsageError: no winner, or a negative power; in forward, more winners than units.

    >>> import torch
    >>> from hebbevo.nn import KWinners
    >>> KWinners(2)(torch.tensor([[3.0, -1.0, 5.0, 1.0]]))
    tensor([[3., 0., 5., 0.]])
    """

    power: Tensor

    def __init__(self, k: int, power: float = 1.0, dim: int = 1) -> None:
        super().__init__()
        if k < 1 or k != int(k):
            raise UsageError(f"KWinners: k={k}; write a whole number of 1 or more")
        if not 0 <= power < math.inf:
            raise UsageError(f"KWinners: power={power}; write a number of 0 or more")
        self.register_buffer("power", torch.tensor(float(power)))
        self.k, self.dim = int(k), dim

    def forward(self, u: Tensor) -> Tensor:
        """Map outputs of a layer to activations of the same shape."""
        if isinstance(u, Tensor) and self.k > u.shape[self.dim]:  # what torch.fx gives has no shape
            raise UsageError(f"KWinners: k={self.k}, of {u.shape[self.dim]} units; write at most as many")
        last = u.topk(self.k, self.dim)[0].amin(self.dim, keepdim=True)
        return _power(torch.where(u >= last, u, 0), self.power)

    def extra_repr(self) -> str:
        """Name the number of winners, the power and the axis."""
        return f"{self.k}, power={self.power.flatten()[0]:g}, dim={self.dim}"


def _power(u: Tensor, power: Tensor) -> Tensor:
    """max(0, u)^power, 0 where u is not above 0; its gradient there is 0 too, also for powers below 1."""
    is_on = u > 0
    return torch.where(is_on, torch.where(is_on, u, 1) ** power, 0)
