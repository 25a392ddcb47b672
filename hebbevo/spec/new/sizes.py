"""How large networks, trainings and the search are, so that it ends in minutes on a laptop."""

from __future__ import annotations

import math
from dataclasses import dataclass

_STEPS = 600  # of a training, so that pruning has time; more where that is cheap
_SECONDS = 480.0  # of one core
_PER_STEP = 2e-4  # seconds
_OPERATIONS = 2e10  # a second, with small matrices on one core of a laptop
_TRIALS = (300, 200, 150, 100, 60, 40, 30)
_CONVOLUTIONS = 3  # times slower than matrix products of as many operations


@dataclass(frozen=True)
class Layers:
    """The layers of a network of a built-in family.

    Attributes:
        channels: of the convolutions; none in a fully connected network.
        hidden: widths of the fully connected layers.
    """

    channels: tuple[int, ...]
    hidden: tuple[int, ...]


@dataclass(frozen=True)
class Size:
    """The numbers of a search.

    Attributes:
        batch_size: rows of a minibatch.
        epochs: of a training.
        population: genomes of a generation.
        trials: genomes in all.
    """

    batch_size: int
    epochs: int
    population: int
    trials: int


def layers_for(shape: tuple[int, ...]) -> Layers:
    """Layers for rows of a shape: convolutions for coloured images, otherwise two wide enough layers.

    >>> layers_for((64,)).hidden, layers_for((3, 32, 32)).channels
    ((128, 128), (8, 16))
    """
    if len(shape) == 3 and shape[0] > 1 and min(shape[1:]) >= 8:
        return Layers((8, 16), (64,))
    width = 2 ** round(math.log2(2 * math.prod(shape)))
    return Layers((), (min(max(width, 32), 256),) * 2)


def multiply_adds(layers: Layers, shape: tuple[int, ...], outputs: int) -> int:
    """Multiply-adds of a network for one row, those of convolutions by what they cost.

    >>> multiply_adds(Layers((), (8, 4)), (3,), 2)
    64
    """
    found, inputs = 0, math.prod(shape)
    if layers.channels:
        before, *sides = shape
        for width in layers.channels:
            found += _CONVOLUTIONS * 9 * before * width * math.prod(sides)
            before, sides = width, [side // 2 for side in sides]
        inputs = before * math.prod(sides)
    for width in (*layers.hidden, outputs):
        found += inputs * width
        inputs = width
    return found


def size_for(rows: int, multiply_adds: int) -> Size:
    """The numbers of a search over networks that are trained on so many rows.

    Args:
        rows: for training.
        multiply_adds: of the largest network for one row.

    Example:
        >>> size_for(1259, 26_000)
        Size(batch_size=32, epochs=15, population=50, trials=300)
    """
    batch_size = min(max(2 ** int(math.log2(max(1, rows / 20))), 8), 128, rows)
    while rows % batch_size == 1 and batch_size < rows:  # batch norm cannot train on one row
        batch_size += 1
    steps = math.ceil(rows / batch_size)
    per_epoch = steps * _PER_STEP + 6 * multiply_adds * rows / _OPERATIONS
    epochs = min(max(round(_STEPS / steps), 5), 40)
    while epochs > 3 and _TRIALS[-3] * epochs * per_epoch > _SECONDS:
        epochs -= 1
    affordable = (each for each in _TRIALS if each * epochs * per_epoch <= _SECONDS)
    trials = next(affordable, _TRIALS[-1])
    return Size(batch_size, epochs, 50 if trials >= 200 else 20 if trials >= 60 else 10, trials)
