"""Fully connected networks."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from hebbevo.networks.rules import RULES, Values, of_layer

if TYPE_CHECKING:
    from hebbevo.networks.architecture import Architecture


class MLP(nn.Module):
    """Fully connected network (batch, ...) -> (batch, classes) whose hidden units follow a rule."""

    def __init__(self, architecture: Architecture, given: Values, seed: int) -> None:
        super().__init__()
        rule = RULES[architecture.rule]
        self.input_shape = architecture.shape
        features = architecture.features
        widths = (features, *architecture.hidden)
        self.inputs = (
            rule.inputs(features, seed, of_layer(given, rule.knobs, 0))
            if architecture.inputs
            else nn.Identity()
        )
        *layers, head = map(he, [nn.Linear(*pair) for pair in pairwise((*widths, architecture.classes))])
        knobs = [of_layer(given, rule.knobs, layer) for layer in range(1, len(widths))]
        self.layers = nn.ModuleList(map(rule.layer, layers, knobs))
        self.units = nn.ModuleList(
            rule.units(width, -1, seed + layer, knobs[layer - 1])
            for layer, width in enumerate(widths[1:], start=1)
        )
        self.head = rule.layer(head, knobs[-1])

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
