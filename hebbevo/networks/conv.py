"""Convolutional networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from hebbevo.networks.chain import without_noise
from hebbevo.networks.layered import Layered
from hebbevo.networks.layers import LayerFactory

_SMALLEST_POOLED = 4  # pixels of the shorter side; pooling smaller images would leave almost nothing


class Conv(Layered):
    """Convolutional network from images (batch, colours, height, width) to logits (batch, classes).

    Each block has 3 x 3 kernels, batch norm, units and a 2 x 2 max pool, as long as both sides have at least
    four pixels. Fully connected layers follow. For the rules, a channel is a neuron. Layers are numbered
    consecutively, convolutions first.

    Args:
        make: makes the layers and units.
        shape: shape of one image, (colours, height, width).
        channels: number of channels of each convolution, at least one.
        hidden: number of neurons of each fully connected hidden layer.
        classes: number of classes.
    """

    def __init__(
        self,
        make: LayerFactory,
        shape: tuple[int, ...],
        channels: Sequence[int],
        hidden: Sequence[int],
        classes: int,
    ) -> None:
        super().__init__()
        self.input_shape = shape
        colours, *size = shape

        shapes: list[tuple[int, ...]] = []
        blocks: list[nn.Module] = []
        for number, (before, width) in enumerate(pairwise((colours, *channels)), start=1):
            pooled = min(size) >= _SMALLEST_POOLED
            size = [side // 2 for side in size] if pooled else size
            shapes.append((width, *size))
            blocks.append(
                nn.Sequential(
                    # no bias: the batch norm would subtract it
                    make.layer(nn.Conv2d(before, width, 3, padding=1, bias=False), number),
                    nn.BatchNorm2d(width),
                    make.unit_layer(width, number, dim=1),
                    nn.MaxPool2d(2) if pooled else nn.Identity(),
                )
            )
        noise = make.input_noise()
        self.features = nn.Sequential(*([noise] if noise else []), *blocks)

        widths = (channels[-1] * math.prod(size), *hidden)
        fully_connected: list[nn.Module] = []
        for number, (before, width) in enumerate(pairwise(widths), start=len(channels) + 1):
            fully_connected.append(make.layer(nn.Linear(before, width), number))
            fully_connected.append(make.unit_layer(width, number))
        self.hidden = nn.Sequential(*fully_connected)
        self.has_fitted_head = make.fits_head
        self.head = make.head(nn.Linear(widths[-1], classes), len(channels) + len(hidden) + 1)
        self.flow = make.flow_penalty([*shapes, *((width,) for width in hidden)])

    def forward(self, x: Tensor) -> Tensor:
        """Map images, (batch, colours, height, width), to logits, (batch, classes)."""
        if self.flow is None:
            logits: Tensor = self.head(self.hidden(self.features(x).flatten(1)))
            return logits
        path = []
        for block in self.features:
            x = block(x)
            path.append(x)
        x = x.flatten(1)
        for place, module in enumerate(self.hidden):
            x = module(x)
            if place % 2:  # units, behind their layer
                path.append(x)
        logits = self.head(self.flow(x, path))
        return logits

    def hidden_layers(self) -> list[list[nn.Module]]:
        """See `Layered.hidden_layers`."""
        blocks = [[*block.children()] for block in self.features if isinstance(block, nn.Sequential)]
        modules = [*self.hidden]
        pairs = [modules[place : place + 2] for place in range(0, len(modules), 2)]
        return [
            *blocks,
            *([*(() if number else (nn.Flatten(),)), *pair] for number, pair in enumerate(pairs)),
        ]

    def in_order(self) -> list[nn.Module]:
        """See `Chain.in_order`."""
        blocks = [module for block in self.features for module in block.children()]
        return [*without_noise([*blocks]), nn.Flatten(), *without_noise(self.hidden), self.head]
