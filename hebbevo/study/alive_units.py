"""Which neurons of a network were alive after each epoch of its training, in a few bytes."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AliveUnits:
    r"""Which neurons of one network were on a live path after each epoch.

    Attributes:
        widths: neurons of each layer, those that are dead included.
        epochs: number of epochs.
        bits: a bit for each neuron and epoch, packed, compressed and written in base 64.

    Examples:
        >>> alive = AliveUnits.of((2, 1), [b"\xe0", b"\xa0"])  # 111, then 101
        >>> [layer.astype(int).tolist() for layer in alive.by_layer()]
        [[[1, 1], [1, 0]], [[1], [1]]]
    """

    widths: tuple[int, ...]
    epochs: int
    bits: str

    @classmethod
    def of(cls, widths: Sequence[int], epochs: Sequence[bytes]) -> Self:
        """Make it from the bits of each epoch.

        Args:
            widths: neurons of each layer.
            epochs: for each epoch the neurons of all layers, one after the other, by `numpy.packbits`.
        """
        bits = base64.b64encode(zlib.compress(b"".join(epochs), 9)).decode()
        return cls(tuple(widths), len(epochs), bits)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Make it from plain data."""
        return cls(tuple(plain["widths"]), plain["epochs"], plain["bits"])

    def by_layer(self) -> list[NDArray[np.bool_]]:
        """Give a table of each layer, (epochs, neurons).

        Raises:
            ValueError: the bits are not those of so many neurons and epochs.
        """
        bytes_per_epoch = -(-sum(self.widths) // 8)
        size = self.epochs * bytes_per_epoch
        try:  # a damaged text may stand for any amount of zeros
            packed = zlib.decompressobj().decompress(base64.b64decode(self.bits, validate=True), size + 1)
        except (ValueError, zlib.error) as error:
            raise ValueError("the bits cannot be read") from error
        if len(packed) != size:
            raise ValueError(f"there are not {size} bytes of bits")
        table = np.frombuffer(packed, np.uint8).reshape(self.epochs, bytes_per_epoch)
        units = np.unpackbits(table, axis=1, count=sum(self.widths)).astype(bool)
        return np.split(units, [*accumulate(self.widths)][:-1], axis=1)
