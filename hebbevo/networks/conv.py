"""Convolutional networks."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from hebbevo.networks.architecture import Values
from hebbevo.networks.layers import Layers
from hebbevo.networks.mlp import he

if TYPE_CHECKING:
    from hebbevo.networks.architecture import Architecture

_SMALLEST_POOLED = 4


class Conv(nn.Module):
    """Convolutional network (batch, channels, height, width) -> (batch, classes) whose parts follow rules.

    Layers of 3 x 3 kernels, batch norm, units and maxima over 2 x 2 (as long as a side has 4), then fully
    connected layers. For the rules a channel is a neuron. Layers are numbered through, convolutions first.
    """

    def __init__(self, architecture: Architecture, given: Values, seed: int) -> None:
        super().__init__()
        make = Layers(architecture, given, seed)
        self.input_shape = architecture.shape
        colours, *size = architecture.shape

        blocks: list[nn.Module] = []
        for layer, (before, width) in enumerate(pairwise((colours, *architecture.channels)), start=1):
            convolution = he(nn.Conv2d(before, width, 3, padding=1, bias=False))
            pooled = min(size) >= _SMALLEST_POOLED
            size = [side // 2 for side in size] if pooled else size
            blocks.append(
                nn.Sequential(
                    make.layer(convolution, layer),
                    nn.BatchNorm2d(width),
                    make.units(width, layer, dim=1),
                    nn.MaxPool2d(2) if pooled else nn.Identity(),
                )
            )
        self.features = nn.Sequential(*blocks)

        widths = (architecture.channels[-1] * math.prod(size), *architecture.hidden)
        hidden: list[nn.Module] = []
        for layer, (before, width) in enumerate(pairwise(widths), start=len(blocks) + 1):
            hidden.append(make.layer(he(nn.Linear(before, width)), layer))
            hidden.append(make.units(width, layer))
        self.hidden = nn.Sequential(*hidden)
        head = he(nn.Linear(widths[-1], architecture.classes))
        self.head = make.layer(head, len(blocks) + len(architecture.hidden) + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits."""
        logits: Tensor = self.head(self.hidden(self.features(x).flatten(1)))
        return logits
