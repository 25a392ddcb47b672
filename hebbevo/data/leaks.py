"""Columns that would tell the answer: row numbers of a sorted table, and the target under another name."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

CHANCE = 1e-6
"""What is less probable than this by chance is taken for a row number, or for a copy of the target."""

_ROWS_AT_A_TIME = 4096
_UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*|__index_level_\d+__|level_0|")
_INDEX_NAME = re.compile(
    r"(row[ _.]?)?(id|idx|index)|row|row[ _.]?(names?|nr|no|num|numbers?)|rownames?", re.I
)
_NUMBER_NAME = re.compile(r"x|nr\.?|no\.?|num|number|#", re.I)


def row_number(column: pd.Series[Any]) -> str | None:
    """Say why a column of a table numbers its rows or has nothing in it, or ``None`` where neither is so.

    A column without a name does if no value is there twice, or if its numbers mostly go up by one, as in
    tables put together. One that is called an index does if its whole numbers all differ and there are enough
    rows; others only if they count the rows from 0 or 1.

    >>> import pandas as pd
    >>> row_number(pd.Series(range(20), name="Unnamed: 0"))
    'numbers the rows'
    """
    name = str(column.name)
    if _UNNAMED.fullmatch(name):
        if column.isna().all():
            return "is empty and has no name"
        if _is_whole(column) and (
            column.is_unique or (np.diff(column.to_numpy(np.float64)) == 1).mean() > 0.5
        ):
            return "numbers the rows"
        if _is_text(column) and column.is_unique:
            return "names the rows"
    if not _is_whole(column) or not column.is_unique or -math.lgamma(len(column) + 1) > math.log(CHANCE):
        return None
    if _INDEX_NAME.fullmatch(name):
        return "numbers the rows"
    numbers = column.to_numpy(np.float64)
    counts = numbers[0] in (0, 1) and bool((np.diff(numbers) == 1).all())
    return "numbers the rows" if counts and _NUMBER_NAME.fullmatch(name) else None


def grows(column: pd.Series[Any]) -> bool:
    """Whether numbers only grow, or only fall, from row to row, which chance cannot explain."""
    if not _is_number(column) or math.log(2) - math.lgamma(len(column) + 1) > math.log(CHANCE):
        return False
    numbers = column.to_numpy(np.float64, na_value=np.nan)
    return bool((numbers[1:] > numbers[:-1]).all() or (numbers[1:] < numbers[:-1]).all())


def growing(x: npt.NDArray[Any]) -> list[int]:
    """The features that only grow, or only fall, from row to row, as by `grows`.

    Args:
        x: features, shape (rows, features).
    """
    import pandas as pd

    start = x[: _ROWS_AT_A_TIME + 1]  # a few rows reject nearly all
    steps = start[1:] > start[:-1]
    candidates = np.flatnonzero(steps.all(axis=0) | ~(steps | (start[1:] == start[:-1])).any(axis=0))
    return [int(place) for place in candidates if grows(pd.Series(x[:, place]))]


def repeats_target(column: pd.Series[Any], target: pd.Series[Any]) -> bool:
    """Whether a column equals the target, or renames its values one to one, which chance cannot explain.

    The chance is that of a column with these values in random order: the product of the factorials of their
    counts over that of the rows, times the possible names.

    >>> import pandas as pd
    >>> labels = pd.Series(["a", "b", "c"] * 10)
    >>> repeats_target(labels.map({"a": 2, "b": 0, "c": 1}), labels)
    True
    """
    import pandas as pd

    try:
        codes, values = pd.factorize(target, use_na_sentinel=False)  # missing is a value, too
        own_codes, own_values = pd.factorize(column, use_na_sentinel=False)
    except TypeError:  # cells that hold lists
        return False
    if len(values) < 2 or len(values) != len(own_values) or not np.array_equal(codes, own_codes):
        return False
    counts = np.bincount(codes)
    same_names = all(str(a) == str(b) or a == b for a, b in zip(values, own_values, strict=True))
    names = 0.0 if same_names else math.lgamma(len(values) + 1)
    chance = names + sum(math.lgamma(count + 1) for count in counts) - math.lgamma(len(codes) + 1)
    return bool(chance < math.log(CHANCE))


def copies_of_target(x: npt.NDArray[Any], y: npt.NDArray[np.int64]) -> list[int]:
    """The features that are the target under other names, as by `repeats_target`.

    Args:
        x: features, shape (rows, features).
        y: indices of classes, shape (rows,).
    """
    import pandas as pd

    first = x[np.unique(y, return_index=True)[1]]
    candidates = np.arange(x.shape[1])
    for start in range(0, len(x), _ROWS_AT_A_TIME):  # one block rejects nearly all
        rows = slice(start, start + _ROWS_AT_A_TIME)
        constant = (x[rows][:, candidates] == first[:, candidates][y[rows]]).all(axis=0)
        candidates = candidates[constant]
        if not len(candidates):
            return []
    target = pd.Series(y)
    return [int(place) for place in candidates if repeats_target(pd.Series(x[:, place]), target)]


def rows_of_both(x: npt.NDArray[Any], x_test: npt.NDArray[Any]) -> int:
    """How many rows of ``x_test`` are rows of ``x``, too.

    >>> rows_of_both(np.eye(3), np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]))
    1
    """
    known = {row.tobytes() for row in np.ascontiguousarray(x)}
    return sum(row.tobytes() in known for row in np.ascontiguousarray(x_test))


def _is_number(column: pd.Series[Any]) -> bool:
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

    kind = column.dtype
    return is_numeric_dtype(kind) and not is_bool_dtype(kind) and not is_complex_dtype(kind)


def _is_whole(column: pd.Series[Any]) -> bool:
    if not len(column) or not _is_number(column) or column.isna().any():
        return False
    numbers = column.to_numpy(np.float64)
    return bool(np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all())


def _is_text(column: pd.Series[Any]) -> bool:
    return len(column) > 1 and all(isinstance(value, str) for value in column)
