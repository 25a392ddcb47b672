"""Readouts: linear maps from features of networks in training to targets, fitted in closed form.

They read features in evaluation mode. Every fifth training row is held out to choose the penalty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
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

Read = Callable[[nn.Module, Tensor], Tensor]
"""A function (network, rows) -> features of one network, (rows, features)."""


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


def fitted_readouts(nets: ModuleStack, rows: LabelledRows, read: Read) -> tuple[Tensor, Tensor]:
    """Fit a readout to the features of each net.

    Returns:
        Weights, (size, outputs, features), and biases, (size, outputs), in float64.
    """
    features = nets.call(read, rows.x[:2].clone()).shape[-1]
    at_a_time = max(1, _MOST_BYTES // (16 * features**2))
    found = [
        _fitted(nets, rows, read, slice(first, first + at_a_time)) for first in range(0, nets.size, at_a_time)
    ]
    weights, biases = zip(*found, strict=True)
    return torch.cat(weights), torch.cat(biases)


@torch.no_grad()
def _fitted(nets: ModuleStack, rows: LabelledRows, read: Read, own: slice) -> tuple[Tensor, Tensor]:
    """Fit the readouts of some of the nets."""
    sums: list[Moments | None] = [None, None]
    for first in range(0, len(rows.x), _ROWS_AT_A_TIME):
        chunk = slice(first, first + _ROWS_AT_A_TIME)
        features = nets.call(read, rows.x[chunk].clone())[own]
        held_out = torch.arange(first, first + features.shape[1], device=features.device) % _HELD_OUT == 1
        for place, which in enumerate((~held_out, held_out)):
            part = Moments.of(features[:, which], rows.targets[chunk][which], rows.weights[chunk][which])
            before = sums[place]
            sums[place] = part if before is None else before + part
    fitted, chosen_on = (cast(Moments, each) for each in sums)
    return ridge(fitted, chosen_on)


@torch.no_grad()
def readout_outputs(nets: ModuleStack, x: Tensor, read: Read, weight: Tensor, bias: Tensor) -> Tensor:
    """What readouts give for rows: (size, rows, outputs), float32."""
    chunks = [nets.call(read, chunk.clone()).double() for chunk in torch.split(x, _ROWS_AT_A_TIME)]
    return torch.cat([each @ weight.mT + bias[:, None] for each in chunks], 1).float()


def layer_reads(net: Layered) -> Iterator[Read]:
    """What a readout of each hidden layer takes of a network."""
    last = len(net.hidden_layers()) - 1
    for layer in range(last + 1):
        yield head_inputs if layer == last and net.has_fitted_head else _OutputsOf(layer)


def learns_without_gradient(net: nn.Module) -> bool:
    """Whether a credit rule changes the weights of a layer in place of the optimiser."""
    return any(isinstance(each, Credited) and each.credit.rule.updates for each in net.modules())


def head_inputs(net: nn.Module, x: Tensor) -> Tensor:
    """What the head of a network takes, (rows, features)."""
    return cast(Layered, net).head_inputs(x)


@dataclass(frozen=True)
class _OutputsOf:
    """Reads the outputs of a hidden layer: maps are averaged over a few regions."""

    layer: int

    def __call__(self, net: nn.Module, x: Tensor) -> Tensor:
        outputs = next(islice(cast(Layered, net).hidden_outputs(x), self.layer, None))
        if outputs.dim() != 4:
            return outputs.flatten(1)
        regions = max(1, min(MOST_REGIONS, math.isqrt(MOST_FEATURES // outputs.shape[1])))
        height, width = outputs.shape[2:]
        return F.adaptive_avg_pool2d(outputs, (min(regions, height), min(regions, width))).flatten(1)


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
        return head_inputs(net, x)
    finally:
        for norm in norms:
            norm.eval()


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)
