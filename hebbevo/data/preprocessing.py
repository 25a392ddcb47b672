"""Preprocessing: from rows as the user has them to the inputs of a network, in float64 until the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hebbevo.data.columns import Column, feature_names, table_features
from hebbevo.data.options import Standardization
from hebbevo.errors import DataError
from hebbevo.messages import listed

# blocks, because a float64 copy of a whole image set would take gigabytes
ROWS_AT_A_TIME = 4096
COLUMNS_AT_A_TIME = 64

Features = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Features become ``(raw - mean) / scale``, computed in float64 and then rounded to float32.

    Attributes:
        mean: what is subtracted from each feature, shape (features,).
        scale: what each feature is divided by, shape (features,).
        shape: shape of a row before it was flattened.
        columns: the columns of a table, in the order of its features; empty if rows are no table's.
    """

    mean: Features
    scale: Features
    shape: tuple[int, ...]
    columns: tuple[Column, ...] = ()

    @classmethod
    def fit(
        cls,
        name: str,
        x: Features,
        rows: Ints,
        shape: tuple[int, ...],
        columns: tuple[Column, ...] = (),
        standardize: Standardization = "auto",
    ) -> Self:
        """Take mean and standard deviation of each feature from the training rows.

        Features of categories, and those that are not to be standardised, have mean 0 and scale 1. By
        channel, all pixels of a channel of images have one mean and one deviation.

        Args:
            name: the data set, for messages.
            x: features, shape (rows, features), in float64 where float32 would round them.
            rows: the training rows.
            shape: shape of a row before it was flattened.
            columns: the columns of a table.
            standardize: whether to standardise, the names of the columns to standardise, ``per_channel``, or
                ``auto``: by channel where a row has the shape of an image.

        Raises:
            DataError: a column does not exist, float32 cannot hold a feature that is not standardised, or
                rows to standardise by channel are no images.
        """
        is_image = len(shape) in (2, 3)
        if standardize == "auto":
            # a pixel at the border that is hardly ever bright would become an input of a hundred deviations
            standardize = "per_channel" if is_image else True
        if standardize == "per_channel" and not is_image:
            raise DataError(
                f"{name}: standardize: per_channel is for images, but a row has the shape {shape};"
                " write standardize: true"
            )
        chosen = _chosen(name, x.shape[1], columns, standardize)
        mean, scale = np.zeros(x.shape[1], x.dtype), np.ones(x.shape[1], x.dtype)
        for part in _blocks(x.shape[1], COLUMNS_AT_A_TIME):
            block = x[rows, part].astype(np.float64)
            low, high, deviation = block.min(axis=0), block.max(axis=0), block.std(axis=0)
            # the computed mean and deviation of a constant feature can be off by a rounding error
            constant = low == high
            mean[part] = np.where(chosen[part], np.where(constant, low, block.mean(axis=0)), 0.0)
            scale[part] = np.where(chosen[part], np.where(constant, 0.0, deviation), 1.0)
            rounding = np.abs(block - block.astype(np.float32)).max(axis=0)
            lost = ~chosen[part] & (rounding > 0.01 * deviation) & ~constant
            if lost.any():
                place = part.start + int(lost.argmax())
                names = feature_names(columns)
                feature = names[place] if names else place
                raise DataError(
                    f"{name}: float32 rounds the differences in column {feature!r} away; standardise it, or"
                    " subtract a constant from it"
                )
        if standardize == "per_channel":
            mean, scale = _by_channel(mean, scale, channels=shape[0] if len(shape) == 3 else 1)
        scale[scale == 0] = 1.0  # constant, or a deviation too small for the type
        return cls(mean, scale, shape, columns)

    def apply(self, x: Features, rows: Ints) -> Floats:
        """The inputs of a network for some rows of flat features, shape (rows, features)."""
        result = np.empty((len(rows), x.shape[1]), np.float32)
        for part in _blocks(len(rows), ROWS_AT_A_TIME):
            result[part] = (x[rows[part]].astype(np.float64) - self.mean) / self.scale
        return result

    def features(self, rows: Any, source: str = "rows") -> npt.NDArray[np.float64]:
        """The flat features of rows as the user has them, shape (rows, features), not yet standardised.

        Args:
            rows: an array as the data set has it, shape (rows, ...); of a table a DataFrame or a mapping of
                columns, or an array of numbers with its columns in order.
            source: what the rows are called in messages.

        Raises:
            DataError: a column or a value is missing, a category is unknown, or the shape is another.
        """
        features = self._flat(rows, source)
        wrong = np.abs(features) > np.finfo(np.float32).max
        wrong |= np.isnan(features)
        if wrong.any():
            row, place = divmod(int(wrong.argmax()), features.shape[1])
            names = feature_names(self.columns)
            where = f"column {names[place]!r}" if names else f"feature {place}"
            raise DataError(
                f"{source}: values that are missing, infinite or too large: {np.count_nonzero(wrong)},"
                f" the first in row {row}, {where} (counted from 0); fill them in or drop those rows"
            )
        return features

    def _flat(self, rows: Any, source: str) -> npt.NDArray[np.float64]:
        if self.columns and hasattr(rows, "keys"):
            return table_features(source, self.columns, rows)
        x = np.asarray(rows)
        if self.columns and x.ndim == 2 and x.shape[1] == len(self.columns):
            by_name = {column.name: x[:, place] for place, column in enumerate(self.columns)}
            return table_features(source, self.columns, by_name)
        if self.columns and any(column.categories for column in self.columns):
            raise DataError(
                f"{source}: has shape {x.shape}; give a DataFrame or a mapping with the columns"
                f" {listed([column.name for column in self.columns])}"
            )
        if x.dtype.kind not in "biuf":
            raise DataError(f"{source}: holds {x.dtype} values; give real numbers")
        if x.ndim < 2 or int(np.prod(x.shape[1:])) != len(self.mean):
            shape = f"({listed(['rows', *self.shape])})"
            raise DataError(f"{source}: has shape {x.shape}; give {shape}")
        return x.reshape(len(x), -1).astype(np.float64)


def _by_channel(mean: Features, scale: Features, channels: int) -> tuple[Features, Features]:
    """Mean and deviation of all pixels of a channel, for each pixel, from those of the pixels."""
    means, deviations = (each.reshape(channels, -1).astype(np.float64) for each in (mean, scale))
    origin = means[:, :1]  # differences from one of the means are exactly zero in a constant channel
    center = origin + (means - origin).mean(axis=1, keepdims=True)
    deviation = np.sqrt((deviations**2 + (means - center) ** 2).mean(axis=1, keepdims=True))
    pixels = means.shape[1]
    return center.repeat(pixels).astype(mean.dtype), deviation.repeat(pixels).astype(mean.dtype)


def _chosen(
    name: str, features: int, columns: tuple[Column, ...], standardize: Standardization
) -> npt.NDArray[np.bool_]:
    """Which features are standardised."""
    if isinstance(standardize, tuple):
        unknown = [each for each in standardize if each not in {column.name for column in columns}]
        if unknown:
            known = f"it has {listed([column.name for column in columns])}" if columns else "it is no table"
            raise DataError(f"{name}: has no column {listed(unknown)} to standardize; {known}")
    if not columns:
        return np.full(features, bool(standardize))
    wanted = [
        not column.categories
        and (column.name in standardize if isinstance(standardize, tuple) else bool(standardize))
        for column in columns
    ]
    return np.repeat(np.array(wanted, bool), [column.width for column in columns])


def _blocks(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, start + size)
