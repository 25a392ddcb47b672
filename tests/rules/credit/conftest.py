"""Layers under a credit rule in double precision, and their patches."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import credited

LAYERS = {
    "linear": lambda: nn.Linear(6, 5, bias=False),
    "conv": lambda: nn.Conv2d(2, 5, 3, bias=False),
}


def layer_of(rule, kind="linear", **knobs):
    """A small layer of a kind under a rule."""
    return credited(rule, LAYERS[kind](), seed=3, **knobs).double()


def inputs_of(layer, rows=7, seed=0):
    """Random inputs of a layer, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    size = (layer.in_features,) if isinstance(layer, nn.Linear) else (layer.in_channels, 6, 5)
    return torch.randn(rows, *size, generator=generator, dtype=torch.float64)


def patches(layer, x):
    """What the units of a layer without groups read, (rows x positions, inputs)."""
    if isinstance(layer, nn.Linear):
        return x
    unfolded = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    return unfolded.mT.reshape(-1, unfolded.shape[1])


def matrix(layer):
    """The weights of a layer, (outputs, inputs), a copy."""
    return layer.weight.detach().flatten(1).clone()


def train(layer, literal, steps=5, rows=7):
    """Train a layer beside a literal rule, and compare their weights after every step.

    Args:
        layer: under a credit rule.
        literal: gives the next weights, (outputs, inputs), for patches and weights.
        steps: of the training.
        rows: of a minibatch.
    """
    weights = first = matrix(layer)
    for step in range(steps):
        x = inputs_of(layer, rows, step)
        weights = literal(patches(layer, x), weights)
        layer(x)
        torch.testing.assert_close(matrix(layer), weights, rtol=1e-11, atol=1e-12)
    assert (weights - first).abs().max() > 1e-3
