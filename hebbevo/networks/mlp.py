"""Fully connected networks."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from hebbevo.networks.architecture import Values
from hebbevo.networks.layers import Layers

if TYPE_CHECKING:
    from hebbevo.networks.architecture import Architecture


class MLP(nn.Module):
    """Fully connected network (batch, ...) -> (batch, classes) whose parts follow rules."""

    def __init__(self, architecture: Architecture, given: Values, seed: int) -> None:
        super().__init__()
        make = Layers(architecture, given, seed)
        self.input_shape = architecture.shape
        features, hidden = architecture.features, architecture.hidden
        self.inputs = make.units(features, 0, inputs=True) if architecture.inputs else nn.Identity()
        widths = pairwise((features, *hidden, architecture.classes))
        drawn = map(he, [nn.Linear(*pair) for pair in widths])
        *layers, head = [make.layer(layer, number) for number, layer in enumerate(drawn, start=1)]
        self.layers = nn.ModuleList(layers)
        self.units = nn.ModuleList(make.units(width, number) for number, width in enumerate(hidden, start=1))
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs to logits."""
        x = self.inputs(x.flatten(1))
        for layer, unit in zip(self.layers, self.units, strict=True):
            x = unit(layer(x))
        logits: Tensor = self.head(x)
        return logits


def he(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """Draw the weights as He et al., 2015, do; no bias."""
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
