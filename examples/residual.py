"""A small residual network for images whose unused channels are pruned.

Searched with `hebbevo search --space residual.yaml`, in this folder.
"""

import torch
from torch import Tensor, nn

from hebbevo.nn import Stamina


class Block(nn.Module):
    """x + convolution(units(convolution(x))), then units."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(width, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner))
        self.inner = Stamina(inner, dim=1)
        self.second = nn.Sequential(nn.Conv2d(inner, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.outer = Stamina(width, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(x + self.second(self.inner(self.first(x))))


class Residual(nn.Module):
    def __init__(self, colours: int, classes: int, width: int, blocks: int, expansion: float) -> None:
        super().__init__()
        inner = max(1, round(width * expansion))
        self.stem = nn.Sequential(nn.Conv2d(colours, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.units = Stamina(width, dim=1)
        self.blocks = nn.Sequential(*(Block(width, inner) for _ in range(blocks)))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.units(self.stem(x)))
        return self.head(torch.amax(x, dim=(2, 3)))


def build(
    width: int,
    blocks: int,
    expansion: float,
    input_shape: tuple[int, int, int] = (1, 8, 8),
    num_classes: int = 10,
) -> nn.Module:
    """Build the network of these genes; hebbevo fills in ``input_shape`` and ``num_classes``."""
    return Residual(input_shape[0], num_classes, width, blocks, expansion)
