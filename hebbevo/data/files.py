"""Data files of the user's: arrays in .npz, tables in .csv and .parquet."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hebbevo.data.dataset import Dataset, from_arrays
from hebbevo.data.reading import reading
from hebbevo.errors import DataError
from hebbevo.messages import quoted

if TYPE_CHECKING:
    import pandas as pd


def load_npz(name: str, path: Path, target: str | None) -> Dataset:
    """Read the arrays ``x``, ``y`` and, if present, ``x_test`` and ``y_test``, as `from_arrays` takes them.

    A row keeps the shape in which it is stored. For a convolutional network, store colour images with the
    channels first.

    Raises:
        DataError: the file is not an .npz archive, or a classifier cannot be trained on it.
    """
    if target is not None:
        raise DataError(
            f"{name}: target {target!r} is for .csv and .parquet; leave it out, y holds the labels"
        )
    with reading(path, "an .npz file"), path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no zip archive")
        file.seek(0)
        archive = np.load(file, allow_pickle=False)
        absent = [array for array in ("x", "y") if array not in archive.files]
        if absent:
            held = quoted(archive.files) or "nothing"
            raise DataError(f"{name}: has no array {' and no '.join(absent)}, it holds {held}; save x and y")
        arrays = {array: archive[array] for array in ("x", "y", "x_test", "y_test") if array in archive.files}
    return from_arrays(name, arrays["x"], arrays["y"], arrays.get("x_test"), arrays.get("y_test"))


def load_csv(name: str, path: Path, target: str | None) -> Dataset:
    """Read a table with a header line; the column ``target`` holds the labels, all others numbers.

    Raises:
        DataError: the file is not such a table, or a classifier cannot be trained on it.
    """
    import pandas as pd  # slow to import, and other data do not need it

    with reading(path, "a .csv file with a header line"), warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
        return _from_table(name, pd.read_csv(path, index_col=False, low_memory=False), target)


def load_parquet(name: str, path: Path, target: str | None) -> Dataset:
    """Read a table; the column ``target`` holds the labels, all others numbers.

    Raises:
        DataError: the file is not such a table, or a classifier cannot be trained on it.
    """
    import pandas as pd

    with reading(path, "a .parquet file"), path.open("rb") as file:
        # converted inside the block, too: Arrow finds text that is not UTF-8 only then
        return _from_table(name, pd.read_parquet(file), target)


READERS: dict[str, Callable[[str, Path, str | None], Dataset]] = {
    ".npz": load_npz,
    ".csv": load_csv,
    ".parquet": load_parquet,
}
"""What reads a file, by its suffix: a function of (name, path, target)."""

FILE_SUFFIXES = tuple(READERS)
TABLE_SUFFIXES = (".csv", ".parquet")


def _from_table(name: str, table: pd.DataFrame, target: str | None) -> Dataset:
    columns = [str(column) for column in table.columns]
    if target is None or columns.count(target) != 1:
        wrong = "needs the column of the labels" if target is None else f"has no column {target!r}"
        raise DataError(f"{name}: {wrong}; write target: one of {quoted(columns)}")
    place = columns.index(target)
    labels = table.iloc[:, place]
    y = labels.astype(object).where(labels.notna(), None).to_numpy()
    features = [column for column in columns if column != target]
    if not features or table.empty:
        raise DataError(
            f"{name}: has {len(table)} rows and {len(features)} feature columns; give it some of both"
        )
    values = [_numbers(name, table.iloc[:, other]) for other in range(len(columns)) if other != place]
    return from_arrays(name, np.column_stack(values), y, columns=features)


def _numbers(name: str, column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    import pandas as pd

    if column.dtype == object:
        column = column.convert_dtypes()  # booleans with missing values
    kind = column.dtype
    is_number = pd.api.types.is_bool_dtype(kind) or pd.api.types.is_numeric_dtype(kind)
    if not is_number or pd.api.types.is_complex_dtype(kind):
        texts = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
        example = f", the first is {texts.iloc[0]!r}" if len(texts) else ""
        raise DataError(
            f"{name}: column {str(column.name)!r} is not numeric{example}; encode it as numbers or drop it"
        )
    return column.to_numpy(np.float64, na_value=np.nan)
