"""Predictions of a regression in the unit of the targets."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InTargetUnits(nn.Module):
    """A network whose standardised predictions are turned into the unit of the targets.

    >>> net = InTargetUnits(nn.Identity(), mean=200.0, scale=50.0)
    >>> net(torch.tensor([[-1.0], [0.0]])).flatten().tolist()
    [150.0, 200.0]

    Args:
        net: a network that predicts (target - mean) / scale.
        mean: mean of the targets.
        scale: their standard deviation.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, net: nn.Module, mean: float, scale: float) -> None:
        super().__init__()
        self.net = net
        # in double precision: a large mean must not round small differences away
        device = next((each.device for each in net.parameters()), None)
        for name, value in (("mean", mean), ("scale", scale)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Predict targets, (rows, 1) float64."""
        standardised: Tensor = self.net(x)
        return standardised.double() * self.scale + self.mean
