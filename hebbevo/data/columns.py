"""Columns of a table, and how each becomes features: a category becomes one number or several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

import numpy as np
import numpy.typing as npt

from hebbevo.errors import DataError
from hebbevo.messages import quoted

Category = int | float | str | bool
Encoding = Literal["one_hot", "index"]

MAX_FOUND_CATEGORIES = 50
"""A text column with more different texts is taken for categories only if the space file declares it."""


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
        """The features of values, shape (rows, width); a missing value becomes not a number.

        Raises:
            DataError: a value is no number, or no category that the column knows.
        """
        if not self.categories:
            numbers: npt.NDArray[np.float64] = self._numbers(source, values)[:, None]
            return numbers
        places = {category: float(place) for place, category in enumerate(self.categories)}
        places[cast(Category, None)] = np.nan
        plain = _plain(values)
        unknown = dict.fromkeys(value for value in plain if value not in places)
        if unknown:
            raise DataError(
                f"{source}: column {self.name!r} has unknown categories: {quoted(list(unknown))};"
                f" known are {quoted(list(self.categories))}"
            )
        codes: npt.NDArray[np.float64] = np.array([places[value] for value in plain], np.float64)
        if self.encoding == "index":
            return codes[:, None]
        one_hot: npt.NDArray[np.float64] = (codes[:, None] == np.arange(len(self.categories))).astype(
            np.float64
        )
        one_hot[np.isnan(codes)] = np.nan
        return one_hot

    def _numbers(self, source: str, values: Iterable[Any]) -> npt.NDArray[np.float64]:
        try:
            return np.array([np.nan if value is None else value for value in _plain(values)], np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{source}: column {self.name!r} is not numeric ({error})") from None


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
    return value is None or type(value).__name__ == "NAType" or bool(value != value)
