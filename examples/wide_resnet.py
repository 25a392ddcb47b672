"""A small Wide-ResNet (arXiv:1605.07146) whose last layer is masked by a Hebbian rule, for images.

The experiment of https://github.com/ShayanPersonal/hebbian-masks, searched in this folder with
`hebbevo search --space wide_resnet.yaml`, or in minutes with `--data wide_resnet:small`.
"""

import numpy as np
import torch
from torch import Tensor, nn

from hebbevo.data import load
from hebbevo.nn import HebbMask


class Block(nn.Module):
    """Batch norm, ReLU and convolution, twice; the shortcut is a convolution where the shape changes."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.norm_1 = nn.BatchNorm2d(width_in)
        self.conv_1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.norm_2 = nn.BatchNorm2d(width)
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        same = width_in == width and stride == 1
        self.shortcut = None if same else nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm_1(x).relu()
        skipped = x if self.shortcut is None else self.shortcut(y)
        return skipped + self.conv_2(self.norm_2(self.conv_1(y)).relu())


def build(
    widening: int = 2,
    blocks: int = 1,
    input_shape: tuple[int, int, int] = (3, 32, 32),
    num_classes: int = 10,
) -> nn.Module:
    """Build a network of depth 6 x blocks + 4; hebbevo fills in ``input_shape`` and ``num_classes``."""
    layers: list[nn.Module] = [nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)]
    width_in = 16
    for width, stride in ((16 * widening, 1), (32 * widening, 2), (64 * widening, 2)):
        for number in range(blocks):
            layers.append(Block(width_in, width, stride if number == 0 else 1))
            width_in = width
    layers += [nn.BatchNorm2d(width_in), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = nn.Sequential(*layers, HebbMask(nn.Linear(width_in, num_classes), ["weight"]))
    return net.to(memory_format=torch.channels_last)  # this memory layout is faster


def small() -> tuple[np.ndarray, np.ndarray]:
    """Return 5000 images of CIFAR-10, reduced to 16 x 16, for a first look."""
    data = load("cifar10")
    x = data.x[:5000].reshape(-1, 3, 16, 2, 16, 2).mean((3, 5))
    return x, data.y[:5000]
