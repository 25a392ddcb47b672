"""Readouts: linear maps from features of networks in training to targets, fitted in closed form.

They read features in evaluation mode. Every fifth training row is held out to choose the penalty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import add
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.networks.layered import Layered
from hebbevo.nn import Credited
from hebbevo.training.ridge import Moments, ridge
from hebbevo.training.stack import ModuleStack

MOST_FEATURES = 2048
"""Features of a layer that a readout takes where it only measures: maps are averaged over regions."""

MOST_REGIONS = 4
"""Regions in height, and in width, over which a map is averaged at the finest."""

_ROWS_AT_A_TIME = 2048
_HELD_OUT = 5
_MOST_BYTES = 2**30  # of the moments that are gathered at once
_CALIBRATION_BATCHES, _CALIBRATION_ROWS = 50, 100  # their statistics are running means

Read = Callable[[nn.Module, Tensor], tuple[Tensor, ...]]
"""A function (network, rows) -> features of one network for each readout, (rows, features)."""

Readouts = list[tuple[Tensor, Tensor]]
"""For each features that are read: weights, (size, outputs, features), and biases, (size, outputs)."""


@dataclass(frozen=True)
class LabelledRows:
    """Rows on which a readout is fitted.

    Attributes:
        x: inputs, (rows, *shape).
        targets: (rows, outputs): a one for the class and zeros, or the amounts of a regression.
        weights: of the rows, (rows,).
    """

    x: Tensor
    targets: Tensor
    weights: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor, outputs: int, class_weights: Sequence[float]) -> LabelledRows:
        """Prepare training rows.

        Args:
            x: inputs, (rows, *shape).
            y: labels, (rows,) int64, or amounts, (rows, 1).
            outputs: of the network.
            class_weights: a weight for each class; none: 1 for each.
        """
        if y.is_floating_point():
            return cls(x, y, torch.ones(len(y), device=y.device))
        of_classes = torch.tensor(class_weights or [1.0] * outputs, device=y.device)
        return cls(x, F.one_hot(y, outputs), of_classes[y])


def fitted_readouts(nets: ModuleStack, rows: LabelledRows, read: Read) -> Readouts:
    """Fit readouts to the features of each net, in float64."""
    squares = sum(each.shape[-1] ** 2 for each in nets.call(read, rows.x[:2].clone()))
    at_a_time = max(1, _MOST_BYTES // (16 * squares + 1))
    found = [
        _fitted(nets.part(slice(first, first + at_a_time)), rows, read)
        for first in range(0, nets.size, at_a_time)
    ]
    by_features = (zip(*parts, strict=True) for parts in zip(*found, strict=True))
    return [(torch.cat(weights), torch.cat(biases)) for weights, biases in by_features]


@torch.no_grad()
def _fitted(nets: ModuleStack, rows: LabelledRows, read: Read) -> Readouts:
    """Fit the readouts of some nets, all at once."""
    sums: list[list[Moments]] = []
    for first in range(0, len(rows.x), _ROWS_AT_A_TIME):
        chunk = slice(first, first + _ROWS_AT_A_TIME)
        held_out = torch.arange(first, min(chunk.stop, len(rows.x)), device=rows.x.device) % _HELD_OUT == 1
        parts = [
            [
                Moments.of(features[:, which], rows.targets[chunk][which], rows.weights[chunk][which])
                for which in (~held_out, held_out)
            ]
            for features in nets.call(read, rows.x[chunk].clone())
        ]
        sums = [[*map(add, before, own)] for before, own in zip(sums, parts, strict=True)] if sums else parts
    return [ridge(fitted, chosen_on) for fitted, chosen_on in sums]


@torch.no_grad()
def readout_outputs(nets: ModuleStack, x: Tensor, read: Read, readouts: Readouts) -> list[Tensor]:
    """What each readout gives for rows: (size, rows, outputs), float32."""
    chunks = [
        [
            features.double() @ weight.mT + bias[:, None]
            for features, (weight, bias) in zip(nets.call(read, chunk.clone()), readouts, strict=True)
        ]
        for chunk in torch.split(x, _ROWS_AT_A_TIME)
    ]
    return [torch.cat(outputs, 1).float() for outputs in zip(*chunks, strict=True)]


def head_inputs(net: nn.Module, x: Tensor) -> tuple[Tensor]:
    """Read what the head of a network takes."""
    return (cast(Layered, net).head_inputs(x),)


@dataclass(frozen=True)
class LayerOutputs:
    """Reads the outputs of the first hidden layers. Maps are averaged over a few regions.

    Those of the last layer stay as they are where a fitted head takes them.

    Attributes:
        layers: number of layers.
    """

    layers: int

    def __call__(self, net: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        """Give the features of each layer, (rows, features)."""
        layered = cast(Layered, net)
        fitted = len(layered.hidden_layers()) if layered.has_fitted_head else None
        outputs = enumerate(islice(layered.hidden_outputs(x), self.layers), start=1)
        return tuple(each.flatten(1) if layer == fitted else _averaged(each) for layer, each in outputs)


def _averaged(outputs: Tensor) -> Tensor:
    """Average maps over regions, so that there are at most `MOST_FEATURES`; (rows, features)."""
    if outputs.dim() != 4:
        return outputs.flatten(1)
    regions = max(1, min(MOST_REGIONS, math.isqrt(MOST_FEATURES // outputs.shape[1])))
    height, width = outputs.shape[2:]
    return F.adaptive_avg_pool2d(outputs, (min(regions, height), min(regions, width))).flatten(1)


def learns_without_gradient(net: nn.Module) -> bool:
    """Whether a credit rule changes the weights of a layer in place of the optimiser."""
    return any(isinstance(each, Credited) and each.credit.rule.updates for each in net.modules())


def calibrate(nets: ModuleStack, x: Tensor) -> None:
    """Give batch norms of nets the statistics of these rows, as after a training; nothing else changes."""
    if not any(map(_is_batch_norm, nets.module.modules())):
        return
    rows = torch.arange(_CALIBRATION_BATCHES * _CALIBRATION_ROWS, device=x.device) % len(x)
    for batch in torch.split(rows, _CALIBRATION_ROWS):
        nets.call(_normalise, x[batch])


def _normalise(net: nn.Module, x: Tensor) -> Tensor:
    norms = [each for each in net.modules() if _is_batch_norm(each)]
    for norm in norms:
        norm.train()
    try:
        return cast(Layered, net).head_inputs(x)
    finally:
        for norm in norms:
            norm.eval()


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)
