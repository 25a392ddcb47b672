"""Splitting a data set into training, validation and test rows: stratified by class, seeded, standardised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hebbevo.data.amounts import Label, amounts_advice
from hebbevo.data.columns import Column, feature_names
from hebbevo.data.dataset import Dataset
from hebbevo.data.division import HELD_OUT_PERCENT, divide
from hebbevo.data.options import Standardization
from hebbevo.data.preprocessing import Features, Floats, Ints, Preprocessing
from hebbevo.errors import DataError

Targets = Ints | Floats

_SAMPLE_ROWS = 1024
_MOSTLY = 0.9  # a few values of many differ by less than float32 has, anyway


@dataclass(frozen=True, eq=False)
class Split:
    """A data set ready to train on. Features are standardised: ``(raw - mean) / scale``.

    So are the targets of a regression, by the mean and the deviation of the training rows.

    Attributes:
        x_train: features, shape (training rows, features).
        y_train: indices into ``classes``, shape (training rows,); or targets, (training rows, 1) float32.
        x_val: as ``x_train``, of the validation rows.
        y_val: as ``y_train``, of the validation rows.
        x_test: as ``x_train``, of the test rows.
        y_test: as ``y_train``, of the test rows.
        mean: mean of each feature over the training rows, shape (features,).
        scale: standard deviation of each feature over the training rows, shape (features,); 1 where it is 0.
            Features that are not standardised have mean 0 and scale 1.
        classes: the original labels; none for a regression.
        shape: shape of a row before it was flattened, by default (features,).
        columns: the columns of a table, in the order of its features; empty if rows are no table's.
        target_mean: mean of the targets of a regression over the training rows.
        target_scale: their standard deviation.
    """

    x_train: Floats
    y_train: Targets
    x_val: Floats
    y_val: Targets
    x_test: Floats
    y_test: Targets
    mean: Features
    scale: Features
    classes: tuple[Label, ...]
    shape: tuple[int, ...] = ()
    columns: tuple[Column, ...] = ()
    target_mean: float = 0.0
    target_scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.shape:
            object.__setattr__(self, "shape", self.x_train.shape[1:])

    @property
    def outputs(self) -> int:
        """Number of outputs of a network: one for each class, or the one of a regression."""
        return len(self.classes) or 1

    def without_test_rows(self) -> Split:
        """The same without test rows, for whatever selects."""
        return replace(self, x_test=self.x_test[:0], y_test=self.y_test[:0])

    def preprocessing(self) -> Preprocessing:
        """What made the features of the raw rows."""
        return Preprocessing(self.mean, self.scale, self.shape, self.columns)


def split(dataset: Dataset, seed: int, batch_size: int, *, standardize: Standardization = "auto") -> Split:
    """Hold out 15 % of each class for validation and 15 % for test, or take the test set as given.

    A data set with a division is split by that instead: see `hebbevo.data.division`.
    A regression has no classes: 15 % of all rows are held out.

    The split depends on the data set and the seed alone, not on the version of numpy. Rows keep the order of
    the data set.

    >>> from hebbevo.data import load, split
    >>> parts = split(load("digits"), seed=0, batch_size=64)
    >>> len(parts.x_train), len(parts.x_val), len(parts.x_test)
    (1259, 269, 269)

    Args:
        dataset: what to split.
        seed: 0 or more.
        batch_size: fewest rows that training needs.
        standardize: whether to standardise features, the names of the columns to standardise, or
            ``per_channel``: one mean and one deviation for each channel of images. ``auto`` is that for
            images, and each feature by itself otherwise. Features of categories never are standardised.

    Raises:
        DataError: a class is too small to be in each part, or training has fewer rows than ``batch_size``.
            The targets of a regression are all the same in training or in validation, or ``standardize``
            does not suit the data.
    """
    if dataset.division is None:
        train, val, test = _partition(dataset, seed)
    else:
        train, val, test = divide(
            dataset, dataset.division, seed, lambda rows, parts: _held_out(dataset, seed, rows, parts)
        )
    if len(train) < batch_size:
        raise DataError(
            f"{dataset.name}: {len(train)} training rows are fewer than one batch of {batch_size};"
            f" write batch_size: {len(train)} or less"
        )
    x, y = dataset.x, dataset.y
    x_test, y_test = (
        (x, y) if dataset.x_test is None or dataset.y_test is None else (dataset.x_test, dataset.y_test)
    )
    made = Preprocessing.fit(dataset.name, x, train, dataset.shape, dataset.columns, standardize)
    targets = y, y_test, 0.0, 1.0
    if dataset.kind == "regression":
        targets = _standardised_targets(dataset, y_test, train, val)
    y, y_test, target_mean, target_scale = targets
    return Split(
        x_train=made.apply(x, train),
        y_train=y[train],
        x_val=made.apply(x, val),
        y_val=y[val],
        x_test=made.apply(x_test, test),
        y_test=y_test[test],
        mean=made.mean,
        scale=made.scale,
        classes=dataset.classes,
        shape=dataset.shape,
        columns=dataset.columns,
        target_mean=target_mean,
        target_scale=target_scale,
    )


def rounded_away(dataset: Dataset, parts: Split) -> list[str]:
    """Say where float32 makes different values equal that were standardised, as beside an outlier.

    A sample of the rows is looked at.

    >>> import numpy as np
    >>> from hebbevo.data import from_arrays
    >>> x = np.append(np.arange(99.0), 1e12)[:, None]
    >>> data = from_arrays("mine", x, np.arange(100) % 2)
    >>> [line] = rounded_away(data, split(data, seed=1, batch_size=8))
    >>> line.partition(";")[0]
    'of 100 different values in feature 0, float32 keeps 2 apart after standardising'

    Args:
        dataset: the data.
        parts: what `split` made of them.

    Returns:
        A line for the features, and one for the targets of a regression; none where nothing is lost.
    """
    rows = np.unique(np.linspace(0, len(dataset.x) - 1, _SAMPLE_ROWS).astype(np.int64))
    raw, names = dataset.x[rows], feature_names(dataset.columns)
    standardised = parts.preprocessing().apply(dataset.x, rows)
    before, after = _distinct(raw), _distinct(standardised)
    found = []
    for place in np.flatnonzero(after < _MOSTLY * before)[:1]:
        others = np.count_nonzero(after < _MOSTLY * before) - 1
        where = f"column {names[place]!r}" if names else f"feature {place}"
        where += f" (and in {others} others likewise)" if others else ""
        found.append((where, before[place], after[place]))
    if dataset.kind == "regression":
        targets = dataset.y[rows][:, None]
        [all_apart] = _distinct(targets)
        [apart] = _distinct(((targets - parts.target_mean) / parts.target_scale).astype(np.float32))
        if apart < _MOSTLY * all_apart:
            found.append(("the targets", all_apart, apart))
    return [
        f"of {before} different values in {where}, float32 keeps {after} apart after standardising; cut off"
        " outliers, or take a logarithm"
        for where, before, after in found
    ]


def _distinct(values: npt.NDArray[Any]) -> Ints:
    """The number of different values in each column."""
    ordered = np.sort(values, axis=0)
    counts: Ints = 1 + np.count_nonzero(ordered[1:] != ordered[:-1], axis=0)
    return counts


def _standardised_targets(
    dataset: Dataset, y_test: npt.NDArray[np.float64], train: Ints, val: Ints
) -> tuple[Floats, Floats, float, float]:
    """The targets of a regression as columns, also those of the test set, with their mean and deviation."""
    y = dataset.y
    for part, rows in (("training", train), ("validation", val)):
        if (y[rows] == y[rows[0]]).all():
            what = f"the {len(rows)} {part} rows have the one target {y[rows[0]]:g}"
            raise DataError(f"{dataset.name}: {what}, and R2 needs targets that differ; give more rows")
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(y[train].mean()), float(y[train].std())
    if not 0 < scale < np.inf:
        what = "its targets are too large for their deviation to be computed; write them in another unit"
        raise DataError(f"{dataset.name}: {what}")
    standardised, of_test = (((each - mean) / scale).astype(np.float32)[:, None] for each in (y, y_test))
    return standardised, of_test, mean, scale


def _partition(dataset: Dataset, seed: int) -> tuple[Ints, Ints, Ints]:
    """The rows for training and validation, and those for test in the test set or else in the data set."""
    x_test = dataset.x_test
    # the rows of a regression are split as those of a single class
    y = dataset.y if dataset.classes else np.zeros(len(dataset.y), np.int64)
    counts = np.bincount(y, minlength=len(dataset.classes))
    needed = 3 if x_test is None else 2
    smallest = int(counts.argmin())
    if counts[smallest] < needed:
        parts = "training, validation and test" if x_test is None else "training and validation"
        if not dataset.classes:
            what = f"has {counts[smallest]} rows, too few for {parts}; give it {needed} or more"
            raise DataError(f"{dataset.name}: {what}")
        raise DataError(
            f"{dataset.name}: class {dataset.classes[smallest]!r} has {counts[smallest]} rows, too few for"
            f" {parts}; give it {needed} or more, or drop it{amounts_advice(dataset.classes)}"
        )
    # numpy promises never to change the raw output of PCG64; shuffles of its Generator may change
    keys = np.random.PCG64(seed).random_raw(len(y))
    shuffled = np.lexsort((keys, y))  # class by class
    rank = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
    held_out = np.repeat(np.maximum(1, (HELD_OUT_PERCENT * counts + 50) // 100), counts)
    fold = rank // held_out
    val = np.sort(shuffled[fold == 0])
    if x_test is None:
        return np.sort(shuffled[fold >= 2]), val, np.sort(shuffled[fold == 1])
    return np.sort(shuffled[fold >= 1]), val, np.arange(len(x_test))


def _held_out(dataset: Dataset, seed: int, rows: Ints, parts: int) -> tuple[Ints, ...]:
    """Hold rows out of some rows of a data set, for 1 or 2 parts."""
    x, y = dataset.x[rows], dataset.y[rows]
    x_test, y_test = (None, None) if parts == 2 else (x[:1], y[:1])  # with a test set, none is held out
    own = replace(dataset, x=x, y=y, division=None, x_test=x_test, y_test=y_test)
    train, val, test = _partition(own, seed)
    return (rows[train], rows[val], rows[test])[: parts + 1]
