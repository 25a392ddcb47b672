"""Networks as a user may have them, in a file that imports nothing of hebbevo.

Each is given ``units(number, dim)``, which makes the units that are then in it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Units = Callable[[int, int], nn.Module]


class Residual(nn.Module):
    """Sums of layers around units, and a concatenation."""

    def __init__(self, units: Units) -> None:
        super().__init__()
        self.first = nn.Linear(12, 20)
        self.units = units(20, -1)
        self.block = nn.Sequential(nn.Linear(20, 30), units(30, -1), nn.Linear(30, 20))
        self.side = nn.Sequential(nn.Linear(12, 10), units(10, -1))
        self.sum_units = units(20, -1)
        self.head = nn.Linear(30, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.units(self.first(x))
        y = self.sum_units(y + self.block(y))
        logits: Tensor = self.head(torch.cat([y, self.side(x)], 1))
        return logits


class Shared(nn.Module):
    """A layer that is called twice."""

    def __init__(self, units: Units) -> None:
        super().__init__()
        self.first, self.shared, self.head = nn.Linear(12, 20), nn.Linear(20, 20), nn.Linear(20, 4)
        self.one, self.two, self.three = units(20, -1), units(20, -1), units(20, -1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(self.shared(self.one(self.first(x))))
        logits: Tensor = self.head(self.three(self.shared(y)))
        return logits


class BasicBlock(nn.Module):
    """A block of torchvision's ResNet-18, written anew with plastic units in place of its ReLUs."""

    def __init__(self, units: Units, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.units1 = units(planes, 1)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.units2 = units(planes, 1)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.units1(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        y: Tensor = self.units2(out)
        return y


class ResNet18(nn.Module):
    """The layers of torchvision's ResNet-18, with ``width`` channels in the first stage (there 64)."""

    def __init__(self, units: Units, width: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = [width, width, width * 2, width * 4, width * 8]
        for stage in range(1, 5):
            stride = 1 if stage == 1 else 2
            blocks = [
                BasicBlock(units, widths[stage - 1], widths[stage], stride),
                BasicBlock(units, widths[stage], widths[stage], 1),
            ]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(widths[4], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


class EncoderBlock(nn.Module):
    """A block of a transformer encoder, with plastic units between the layers of its perceptron."""

    def __init__(self, units: Units, size: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(size, hidden), units(hidden, -1), nn.Linear(hidden, size))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Encoder(nn.Module):
    """A small transformer encoder over 6 positions of 5 numbers."""

    def __init__(self, units: Units) -> None:
        super().__init__()
        self.embedding = nn.Linear(5, 16)
        self.position = nn.Parameter(torch.randn(6, 16))
        self.blocks = nn.Sequential(EncoderBlock(units, 16, 40), EncoderBlock(units, 16, 40))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.embedding(x) + self.position).mean(1))
        return logits
