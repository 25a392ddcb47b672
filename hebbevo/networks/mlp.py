"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from hebbevo.networks.chain import without_noise
from hebbevo.networks.layered import Layered
from hebbevo.networks.layers import LayerFactory


class MLP(Layered):
    """Fully connected network from rows (batch, *shape) to logits (batch, classes).

    Args:
        make: makes the layers and units.
        shape: shape of one row of the data.
        hidden: number of neurons of each hidden layer.
        classes: number of classes.
        inputs: whether the rule for units applies to the inputs too.
    """

    def __init__(
        self, make: LayerFactory, shape: tuple[int, ...], hidden: Sequence[int], classes: int, inputs: bool
    ) -> None:
        super().__init__()
        self.input_shape = shape
        features = math.prod(shape)
        self.inputs = make.unit_layer(features, 0, inputs=True) if inputs else nn.Identity()
        # nn.Linear draws weights too, so the order of these lines decides the weights of every network
        linear = [nn.Linear(*widths) for widths in pairwise((features, *hidden, classes))]
        *hidden_layers, last = linear
        layers = [make.layer(layer, number) for number, layer in enumerate(hidden_layers, start=1)]
        head = make.head(last, len(linear))
        self.layers = nn.ModuleList(layers)
        self.units = nn.ModuleList(
            make.unit_layer(width, number) for number, width in enumerate(hidden, start=1)
        )
        self.head = head
        self.has_fitted_head = make.fits_head
        if noise := make.input_noise():
            self.inputs = nn.Sequential(noise, self.inputs)
        self.flow = make.flow_penalty([(width,) for width in hidden])

    def forward(self, x: Tensor) -> Tensor:
        """Map rows, (batch, *shape), to logits, (batch, classes)."""
        x = self.inputs(x.flatten(1))
        path = []
        for layer, units in zip(self.layers, self.units, strict=True):
            x = units(layer(x))
            path.append(x)
        logits: Tensor = self.head(x if self.flow is None else self.flow(x, path))
        return logits

    def hidden_layers(self) -> list[list[nn.Module]]:
        """See `Layered.hidden_layers`."""
        first: list[nn.Module] = [nn.Flatten(), self.inputs]
        pairs = zip(self.layers, self.units, strict=True)
        return [[*(() if number else first), *pair] for number, pair in enumerate(pairs)]

    def in_order(self) -> list[nn.Module]:
        """See `Chain.in_order`."""
        hidden = [module for pair in zip(self.layers, self.units, strict=True) for module in pair]
        return [nn.Flatten(), *without_noise([self.inputs, *hidden]), self.head]
