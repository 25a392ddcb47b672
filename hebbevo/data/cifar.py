"""The Python version of CIFAR-10: pickled batches, unpickled without running code from them."""

from __future__ import annotations

import io
import math
import pickle
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hebbevo.data.dataset import Dataset, from_arrays
from hebbevo.data.reading import reading
from hebbevo.errors import DataError

ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
PLANES = (3, 32, 32)
ROW_BYTES = math.prod(PLANES)
CODES = ("u1", b"u1")

Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def load_cifar(name: str, files: Mapping[str, Path]) -> Dataset:
    """Read the archive, or the folder unpacked from it. A row has the shape (3, 32, 32): red, green, blue.

    Args:
        name: name of the data set.
        files: path of the archive or the folder, under the name of the archive.

    Raises:
        DataError: a batch is missing, damaged or something else.
    """
    source = files[ARCHIVE]
    batches: dict[str, Batch] = {}
    with reading(source, f"the original {ARCHIVE} or its folder {FOLDER}"):
        for batch, raw in (_folder_members if source.is_dir() else _archive_members)(source):
            batches[batch] = _read_batch(source / batch, raw)
    absent = [batch for batch in (*TRAIN, TEST) if batch not in batches]
    if absent:
        raise DataError(f"{source}: holds no {', '.join(absent)}; take the original {ARCHIVE}")
    train = [batches[batch] for batch in TRAIN]
    x = np.concatenate([pixels for pixels, _ in train])
    y = np.concatenate([labels for _, labels in train])
    return from_arrays(name, x, y, *batches[TEST])


def _folder_members(source: Path) -> Iterator[tuple[str, bytes]]:
    for batch in (*TRAIN, TEST):
        if (source / batch).exists():
            yield batch, (source / batch).read_bytes()


def _archive_members(source: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(source, "r:gz") as archive:
        for member in archive:
            folder, _, batch = member.name.rpartition("/")
            content = archive.extractfile(member) if folder == FOLDER and batch in (*TRAIN, TEST) else None
            if content is not None:
                yield batch, content.read()


def _read_batch(path: Path, raw: bytes) -> Batch:
    with reading(path, "the original batch"):
        batch = _Unpickler(io.BytesIO(raw), encoding="bytes").load()
        pixels, labels = batch[b"data"], np.array(batch[b"labels"], np.int64)
        if (
            not isinstance(pixels, _Array)
            or pixels.shape != (len(labels), ROW_BYTES)
            or pixels.code not in CODES
        ):
            raise ValueError(
                f"its data are not one row of {ROW_BYTES} bytes for each of its {len(labels)} labels"
            )
        order: Literal["F", "C"] = "F" if pixels.by_columns else "C"
        rows = np.frombuffer(pixels.content, np.uint8).reshape(pixels.shape, order=order)
        return rows.reshape(-1, *PLANES), labels


class _Array:
    """Takes the place of a pickled numpy array, whose own unpickling can crash Python on damaged bytes."""

    shape: object = None
    code: object = None
    by_columns = False
    content = b""

    def __setstate__(self, state: tuple[int, tuple[int, ...], _DType, bool, bytes]) -> None:
        _, self.shape, dtype, self.by_columns, self.content = state
        self.code = dtype.code


class _DType:
    def __init__(self, code: str | bytes, *flags: int) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Ignore byte order and alignment, which do not matter for single bytes."""


def _reconstruct(*arguments: object) -> _Array:
    return _Array()


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): str.encode,  # Python 3 pickles bytes so that Python 2 can read them
}


class _Unpickler(pickle.Unpickler):
    """Unpickles only what a batch of CIFAR-10 consists of; any other class or function is refused."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which no CIFAR-10 batch needs"
            ) from None
