"""Columns of a table, and how each becomes features: a category becomes one number or several."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from hebbevo.errors import DataError
from hebbevo.messages import quoted

if TYPE_CHECKING:
    import pandas as pd

Category = int | float | str | bool
Encoding = Literal["one_hot", "index"]

MAX_FOUND_CATEGORIES = 50
"""A text column with more different texts is taken for categories only if the space file declares it."""

_EXACT = 2**53  # float64 rounds larger integers


@dataclass(frozen=True)
class Column:
    """A column of a table that is no target.

    Attributes:
        name: its name in the table.
        categories: its different values in sorted order; empty if it holds numbers.
        encoding: of a category: ``one_hot`` makes a feature of each, 0 or 1; ``index`` makes one feature, the
            place of the category in ``categories``.
    """

    name: str
    categories: tuple[Category, ...] = ()
    encoding: Encoding = "one_hot"

    @classmethod
    def of_categories(cls, source: str, name: str, values: Iterable[Any], encoding: Encoding | None) -> Self:
        """A column with these values as categories.

        Args:
            source: the data set, for messages.
            name: name of the column.
            values: what it holds; missing values are ``None`` or not a number.
            encoding: as the space file declares it; ``None`` for a text column that it does not mention.

        Raises:
            DataError: it has too many categories to be taken for one unasked.
        """
        present = set(_plain(values)) - {None}
        found = sorted(present, key=lambda value: (isinstance(value, str), value))
        if encoding is None and len(found) > MAX_FOUND_CATEGORIES:
            raise DataError(
                f"{source}: column {name!r} is not numeric, it has {len(found)} different texts; drop it, or"
                f" write task.categorical: {{{name}: one_hot}}"
            )
        return cls(name, tuple(found), encoding or "one_hot")

    @property
    def width(self) -> int:
        """Number of features that it becomes."""
        return len(self.categories) if self.categories and self.encoding == "one_hot" else 1

    def features(self, source: str, values: Iterable[Any]) -> npt.NDArray[np.float64]:
        """The features of values, shape (rows, width); a missing number becomes not a number.

        Raises:
            DataError: a value is no number, or no category that the column knows; a category is missing.
        """
        if not self.categories:
            return numbers(source, self.name, values)[:, None]
        places = {category: place for place, category in enumerate(self.categories)}
        plain = _plain(values)
        known = f"known are {quoted(list(self.categories))}"
        if missing := [row for row, value in enumerate(plain) if value is None]:
            raise DataError(
                f"{source}: column {self.name!r} has {len(missing)} missing categories, the first in row"
                f" {missing[0]} (counted from 0); fill them in, or drop those rows; {known}"
            )
        unknown = dict.fromkeys(value for value in plain if value not in places)
        if unknown:
            raise DataError(
                f"{source}: column {self.name!r} has unknown categories: {quoted(list(unknown))}; {known}"
            )
        codes: npt.NDArray[np.float64] = np.array([places[value] for value in plain], np.float64)
        if self.encoding == "index":
            return codes[:, None]
        one_hot: npt.NDArray[np.float64] = (codes[:, None] == np.arange(len(self.categories))).astype(
            np.float64
        )
        return one_hot


def feature_names(columns: Iterable[Column]) -> list[str]:
    """The name of the column of each feature.

    >>> feature_names([Column("age"), Column("town", ("A", "B"))])
    ['age', 'town', 'town']
    """
    return [column.name for column in columns for _ in range(column.width)]


def numbers(source: str, name: str, values: Iterable[Any]) -> npt.NDArray[np.float64]:
    """The values of a column as numbers; a missing one is not a number.

    Truth values and decimals are numbers, too. Texts are none: ``1.234`` can mean 1234.

    >>> numbers("mine", "size", [1, True, 2.5, None]).tolist()
    [1.0, 1.0, 2.5, nan]

    Args:
        source: the data set, for messages.
        name: name of the column.
        values: what it holds.

    Raises:
        DataError: a value is no number, or float64 makes different integers equal.
    """
    import pandas as pd  # slow to import, and other data do not need it

    exact: Collection[Any] = ()
    if isinstance(values, pd.Series) and _has_numbers(values):
        found = values.to_numpy(np.float64, na_value=np.nan)
        if pd.api.types.is_integer_dtype(values.dtype) and _exceeds_exact(found):
            exact = values.dropna().unique()
    else:
        plain = _plain(values)
        read = [_number(value) for value in plain]
        if wrong := [value for value, number in zip(plain, read, strict=True) if number is None]:
            first = next((value for value in wrong if not _is_numeral(value)), wrong[0])
            shown = textwrap.shorten(repr(first), 60, placeholder=" ...")
            raise DataError(
                f"{source}: column {name!r} is not numeric, the first is {shown}; encode it as numbers or"
                " drop it"
            )
        found = np.array(read, np.float64)
        if _exceeds_exact(found):
            exact = {Decimal(value) for value in plain if value is not None}
    if len(exact) > len(np.unique(found[~np.isnan(found)])):
        raise DataError(
            f"{source}: column {name!r} has integers that differ in float64 no more;"
            " subtract a constant from them or drop the column"
        )
    return found


def table_features(source: str, columns: Sequence[Column], table: Any) -> npt.NDArray[np.float64]:
    """The features of a table, shape (rows, features).

    Args:
        source: the table, for messages.
        columns: the columns to take; others are ignored.
        table: a pandas DataFrame, or a mapping of names to values.

    Raises:
        DataError: a column is missing, has another length, or has a value that it does not know.
    """
    names = [str(name) for name in table.keys()]  # noqa: SIM118  a frame iterates over its columns too
    by_name = {str(name): name for name in table.keys()}  # noqa: SIM118
    absent = [column.name for column in columns if column.name not in names]
    if absent:
        raise DataError(f"{source}: has no column {quoted(absent)}; it has {quoted(names) or 'none'}")
    for column in columns:
        values = table[by_name[column.name]]
        if names.count(column.name) > 1:
            raise DataError(
                f"{source}: {names.count(column.name)} columns are named {column.name!r}; keep one"
            )
        if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
            raise DataError(f"{source}: column {column.name!r} is {values!r}; give a value for each row")
    blocks = [column.features(source, table[by_name[column.name]]) for column in columns]
    if len({len(block) for block in blocks}) > 1:
        lengths = ", ".join(
            f"{column.name!r}: {len(block)}" for column, block in zip(columns, blocks, strict=True)
        )
        raise DataError(f"{source}: its columns have different lengths ({lengths})")
    return np.hstack(blocks)


def _plain(values: Iterable[Any]) -> list[Any]:
    """The values as Python has them, missing ones as ``None``."""
    plain = values.tolist() if hasattr(values, "tolist") else list(values)
    return [None if _is_missing(value) else value for value in plain]


def _is_missing(value: Any) -> bool:
    # pandas.NA has no truth value when it is compared
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return (
        value.is_nan()
        if isinstance(value, Decimal)
        else isinstance(value, float | np.floating) and math.isnan(value)
    )


def _has_numbers(column: pd.Series[Any]) -> bool:
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

    kind = column.dtype
    return is_bool_dtype(kind) or (is_numeric_dtype(kind) and not is_complex_dtype(kind))


def _exceeds_exact(found: npt.NDArray[np.float64]) -> bool:
    return bool(np.nanmax(np.abs(found), initial=0) > _EXACT)


def _number(value: Any) -> float | None:
    """A value as a number; ``None`` where it is none."""
    if value is None:
        return math.nan
    if isinstance(value, str | bytes):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None


def _is_numeral(value: Any) -> bool:
    """Whether a value is the text of a number."""
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def different(what: str, names: Iterable[object]) -> list[str]:
    """Say which names differ in nothing but case, blanks or ways to write a letter; no line if none do.

    >>> different("labels", ["red", "Red ", "blue"])
    ["the labels 'Red ', 'red' differ in blanks, case or accents alone, and stay different"]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        if isinstance(name, str):
            plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
            groups.setdefault(plain, []).append(name)
    alike = [name for group in groups.values() if len(group) > 1 for name in sorted(group)]
    if not alike:
        return []
    return [f"the {what} {quoted(alike)} differ in blanks, case or accents alone, and stay different"]
