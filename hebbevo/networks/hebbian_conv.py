"""Convolutional networks for local learning rules, with a linear head."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.networks.hebbian_conv_knobs import HEBBIAN_CONV_KNOBS, WHITENING_KNOBS
from hebbevo.networks.layered import Layered
from hebbevo.networks.layers import LayerFactory
from hebbevo.networks.settings import layer_settings
from hebbevo.nn import KWinners, Triangle, Whitening
from hebbevo.nn.competition import Competition
from hebbevo.space.knobs import Value

_SMALLEST_POOLED = 4  # pixels of the shorter side; pooling smaller images would leave almost nothing
_STRIDE = 2


class HebbianConv(Layered):
    """Convolutional network from images (batch, colours, height, width) to logits (batch, classes).

    Each layer normalises its inputs, without trained scales. A convolution that keeps the size follows, then
    a competition between channels, and units. Last comes a pool with stride 2, as long as both sides have at
    least four pixels. The head is linear. A whitening of whole images may come first; it is fitted to the
    training rows before the training. For the rules, a channel is a neuron.

    Args:
        make: makes the layers and units.
        shape: shape of one image, (colours, height, width).
        channels: number of channels of each convolution, at least one.
        classes: number of classes.
    """

    def __init__(
        self, make: LayerFactory, shape: tuple[int, ...], channels: Sequence[int], classes: int
    ) -> None:
        super().__init__()
        self.input_shape = shape
        self.has_fitted_head = make.fits_head
        whitening, ridge = (make.settings.get(name, knob.default) for name, knob in WHITENING_KNOBS.items())
        is_white = whitening == "image"
        self.whitening = Whitening(shape, ridge=_number(ridge)) if is_white else nn.Identity()
        colours, *size = shape
        blocks: list[nn.Module] = []
        for number, (before, width) in enumerate(pairwise((colours, *channels)), start=1):
            knobs: dict[str, Value] = {name: knob.default for name, knob in HEBBIAN_CONV_KNOBS.items()}
            knobs |= layer_settings(make.settings, HEBBIAN_CONV_KNOBS, number)
            pool: nn.Module = nn.Identity()
            convolution = _convolution(before, width, _whole(knobs["kernel_size"]), size)
            if min(size) >= _SMALLEST_POOLED:
                kernel = min(_whole(knobs["pool_size"]), *size)
                padding = (kernel - _STRIDE) // 2
                pool = _POOLS[str(knobs["pool"])](kernel, padding)
                size = [(side + 2 * padding - kernel) // _STRIDE + 1 for side in size]
            blocks.append(
                nn.Sequential(
                    _NORMALIZATIONS[str(knobs["normalization"])](before),
                    make.layer(convolution, number),
                    _OUTPUTS[str(knobs["output"])](knobs, width),
                    make.unit_layer(width, number, dim=1),
                    pool,
                )
            )
        self.blocks = nn.Sequential(*blocks)
        self.head = make.head(nn.Linear(channels[-1] * math.prod(size), classes), len(channels) + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images, (batch, colours, height, width), to logits, (batch, classes)."""
        logits: Tensor = self.head(self.blocks(self.whitening(x)).flatten(1))
        return logits

    def hidden_layers(self) -> list[list[nn.Module]]:
        """See `Layered.hidden_layers`."""
        first, *others = ([*block.children()] for block in self.blocks)
        return [[self.whitening, *first], *others]

    def in_order(self) -> list[nn.Module]:
        """See `Chain.in_order`."""
        return [*(module for layer in self.hidden_layers() for module in layer), nn.Flatten(), self.head]


def _convolution(before: int, width: int, kernel: int, size: Sequence[int]) -> nn.Conv2d:
    """A convolution that keeps the size of an image, and mirrors its border if that has enough pixels."""
    border = kernel // 2
    if border < min(size):
        return nn.Conv2d(before, width, kernel, padding=border, padding_mode="reflect")
    return nn.Conv2d(before, width, kernel, padding=border)


class _SampleNorm(Competition):
    """Each sample with mean 0 and variance 1 over channels and places; an element stays its channel's."""

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, 1)


_NORMALIZATIONS: dict[str, Callable[[int], nn.Module]] = {
    "sample": lambda channels: _SampleNorm(),
    "batch": lambda channels: nn.BatchNorm2d(channels, affine=False),
}
_OUTPUTS: dict[str, Callable[[dict[str, Value], int], nn.Module]] = {
    "triangle": lambda knobs, channels: Triangle(_number(knobs["output_power"])),
    "winners": lambda knobs, channels: KWinners(
        min(_whole(knobs["output_winners"]), channels), _number(knobs["output_power"])
    ),
    "rectifier": lambda knobs, channels: nn.Identity(),  # the units have one
}
_POOLS: dict[str, Callable[[int, int], nn.Module]] = {
    "average": lambda kernel, padding: nn.AvgPool2d(kernel, _STRIDE, padding, count_include_pad=False),
    "max": lambda kernel, padding: nn.MaxPool2d(kernel, _STRIDE, padding),
}


def _whole(value: Value) -> int:
    return int(_number(value))


def _number(value: Value) -> float:
    assert isinstance(value, int | float)
    return float(value)
