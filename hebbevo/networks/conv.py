"""Convolutional networks."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from hebbevo.networks.mlp import he
from hebbevo.networks.rules import RULES, Values, of_layer

if TYPE_CHECKING:
    from hebbevo.networks.architecture import Architecture

_SMALLEST_POOLED = 4


class Conv(nn.Module):
    """Convolutional network (batch, channels, height, width) -> (batch, classes) that follows a rule.

    Layers of 3 x 3 kernels, batch norm, units and maxima over 2 x 2 (as long as a side has 4), then fully
    connected layers. For the rule a channel is a neuron. Layers are numbered through, convolutions first.
    """

    def __init__(self, architecture: Architecture, given: Values, seed: int) -> None:
        super().__init__()
        rule = RULES[architecture.rule]
        self.input_shape = architecture.shape
        depth = len(architecture.channels) + len(architecture.hidden)
        knobs = [of_layer(given, rule.knobs, layer) for layer in range(1, depth + 1)]
        colours, *size = architecture.shape

        blocks: list[nn.Module] = []
        for layer, (before, width) in enumerate(pairwise((colours, *architecture.channels))):
            convolution = he(nn.Conv2d(before, width, 3, padding=1, bias=False))
            pooled = min(size) >= _SMALLEST_POOLED
            size = [side // 2 for side in size] if pooled else size
            blocks.append(
                nn.Sequential(
                    rule.layer(convolution, knobs[layer]),
                    nn.BatchNorm2d(width),
                    rule.units(width, 1, seed + layer + 1, knobs[layer]),
                    nn.MaxPool2d(2) if pooled else nn.Identity(),
                )
            )
        self.features = nn.Sequential(*blocks)

        widths = (architecture.channels[-1] * math.prod(size), *architecture.hidden)
        hidden: list[nn.Module] = []
        for layer, (before, width) in enumerate(pairwise(widths), start=len(architecture.channels)):
            hidden.append(rule.layer(he(nn.Linear(before, width)), knobs[layer]))
            hidden.append(rule.units(width, -1, seed + layer + 1, knobs[layer]))
        self.hidden = nn.Sequential(*hidden)
        self.head = rule.layer(he(nn.Linear(widths[-1], architecture.classes)), knobs[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits."""
        logits: Tensor = self.head(self.hidden(self.features(x).flatten(1)))
        return logits
