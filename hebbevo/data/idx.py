"""The IDX format of MNIST and Fashion-MNIST: a magic number, the big-endian sizes, unsigned bytes."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hebbevo.data.dataset import Dataset, from_arrays
from hebbevo.data.reading import reading
from hebbevo.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"


def load_idx(name: str, files: Mapping[str, Path]) -> Dataset:
    """Read a data set of four IDX files, plain or gzipped. A row has the shape (28, 28).

    Args:
        name: name of the data set.
        files: paths of the files, under their original names.

    Raises:
        DataError: a file is not what its name says.
    """
    x, y = _pair(files["train-images-idx3-ubyte.gz"], files["train-labels-idx1-ubyte.gz"])
    x_test, y_test = _pair(files["t10k-images-idx3-ubyte.gz"], files["t10k-labels-idx1-ubyte.gz"])
    return from_arrays(name, x, y, x_test, y_test)


def _pair(images: Path, labels: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    x, y = read_idx(images, ndim=3), read_idx(labels, ndim=1)
    if len(x) != len(y):
        raise DataError(
            f"{labels}: has {len(y)} labels for the {len(x)} images of {images}; take both from one set"
        )
    return x, y


def read_idx(path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    """Read an array of unsigned bytes with ``ndim`` axes.

    Raises:
        DataError: the file is missing, truncated, or something else.
    """
    with reading(path, "the original IDX file"):
        raw = path.read_bytes()
        if raw.startswith(GZIP_MAGIC):
            raw = gzip.decompress(raw)
        magic = int.from_bytes(raw[:4], "big")
        expected = 0x800 + ndim  # third byte 8 for unsigned bytes, fourth byte the number of axes
        if magic != expected:
            raise ValueError(f"its magic number is {magic}, not {expected}")
        shape = struct.unpack_from(f">{ndim}I", raw, offset=4)
        start = 4 * (1 + ndim)
        if len(raw) - start != math.prod(shape):
            raise ValueError(f"it holds {len(raw) - start} bytes for the shape {shape}")
        pixels: npt.NDArray[Any] = np.frombuffer(raw, np.uint8, offset=start)
        return pixels.reshape(shape)
