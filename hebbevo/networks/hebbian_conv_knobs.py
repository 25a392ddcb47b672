"""The knobs of the family ``hebbian_conv``, known without PyTorch."""

from __future__ import annotations

from hebbevo.space.knobs import Knob, table

HEBBIAN_CONV_KNOBS = table(
    Knob(
        "normalization", str, "sample",
        "how inputs of a convolution are normalised: each sample by itself, or each channel over the batch",
        choices=("sample", "batch"),
    ),
    Knob("kernel_size", int, 3, "height and width of the kernels", choices=(1, 3, 5, 7, 9, 11)),
    Knob(
        "output", str, "triangle",
        "what a place hands on: what is above the mean, winners, or positive outputs",
        choices=("triangle", "winners", "rectifier"),
    ),
    Knob(
        "output_power", float, 1.0, "power of what a triangle or a winner hands on",
        low=0.01, sensible=(0.3, 2.0),
    ),
    Knob(
        "output_winners", int, 1, "channels that hand something on where output is winners; at most all",
        low=1, sensible=(1, 16), log=True,
    ),
    Knob("pool", str, "average", "what becomes of neighbouring places", choices=("average", "max")),
    Knob("pool_size", int, 2, "height and width of the windows of the pool, two apart", low=2, high=8),
)  # fmt: skip
"""Knobs of the family that each layer may set for itself."""

WHITENING_KNOBS = table(
    Knob("whitening", str, "none", "whether images are whitened as a whole (ZCA)", choices=("none", "image")),
    Knob(
        "whitening_ridge", float, 1e-3, "is added to the variances by which the whitening divides",
        low=1e-9, sensible=(1e-4, 1e-1), log=True,
    ),
)  # fmt: skip
"""Knobs of what comes before the first layer."""
