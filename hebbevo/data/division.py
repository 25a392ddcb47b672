"""Splits that the data ask for: whole groups, the latest times, or parts that are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hebbevo.data.amounts import amounts_advice
from hebbevo.data.options import SplitKind
from hebbevo.errors import DataError
from hebbevo.messages import quoted

if TYPE_CHECKING:
    from hebbevo.data.dataset import Dataset

Ints = npt.NDArray[np.int64]
HoldOut = Callable[[Ints, int], tuple[Ints, ...]]
"""Holds rows out of those that it gets, at random, for 1 or 2 parts: gives the rest, then each part."""

HELD_OUT_PERCENT = 15
TRAINING, VALIDATION, TEST = range(3)
_PARTS = {
    "train": TRAINING, "training": TRAINING, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION,
    "dev": VALIDATION, "test": TEST, "testing": TEST,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Division:
    """What decides which rows are held out.

    Attributes:
        kind: ``groups``: rows of one value stay together; ``time``: the largest values are held out;
            ``column``: the values are the parts.
        values: one for each row: a number of its group, its time, or 0 (training), 1 (validation), 2 (test).
    """

    kind: SplitKind
    values: Ints


def division(name: str, kind: SplitKind, column: str, values: npt.NDArray[Any]) -> Division:
    """Make a division of the values of a column.

    >>> import numpy as np
    >>> division("d", "column", "part", np.array(["train", "test", "val"])).values.tolist()
    [0, 2, 1]

    Raises:
        DataError: a value is missing, is no time, or does not name a part.
    """
    import pandas as pd

    table = pd.Series(values.reshape(len(values), -1)[:, 0] if values.ndim == 2 else values)
    if table.isna().any():
        row = int(table.isna().to_numpy().argmax())
        raise DataError(f"{name}: {column!r} has no value in row {row} (counted from 0); fill it in")
    if kind == "groups":
        groups: Ints = pd.factorize(table)[0].astype(np.int64)
        return Division(kind, groups)
    if kind == "time":
        return Division(kind, _ranks(name, column, table))
    texts = table.astype(str).str.strip().str.lower()
    if unknown := sorted(set(texts) - _PARTS.keys()):
        raise DataError(f"{name}: {column!r} holds {quoted(unknown)}; write train, validation and test")
    return Division(kind, np.array([_PARTS[text] for text in texts], np.int64))


def divide(dataset: Dataset, by: Division, seed: int, hold_out: HoldOut) -> tuple[Ints, Ints, Ints]:
    """The rows for training and validation, and those for test in the test set or else in the data set.

    Args:
        dataset: what to divide.
        by: what decides.
        seed: 0 or more; decides between groups.
        hold_out: for parts that the data do not give.

    Raises:
        DataError: a part would have no rows, or training would lack a class.
    """
    tested = dataset.x_test is not None
    if by.kind == "column":
        train, val, test = _given(dataset, by.values, hold_out)
    else:
        divide_by = _groups if by.kind == "groups" else _times
        train, val, test = divide_by(dataset, by.values, 1 if tested else 2, seed)
    held_out = np.concatenate([val, test])
    if dataset.classes and (absent := np.setdiff1d(dataset.y[held_out], dataset.y[train])).size:
        labels = quoted([dataset.classes[label] for label in absent])
        what, advice = f"no training row has the class {labels}", amounts_advice(dataset.classes)
        raise DataError(f"{dataset.name}: {what}; drop these rows, or split in another way{advice}")
    return train, val, np.arange(len(dataset.x_test)) if dataset.x_test is not None else test


def _ranks(name: str, column: str, table: Any) -> Ints:
    import pandas as pd
    from pandas.api.types import is_numeric_dtype

    if not is_numeric_dtype(table):
        times = pd.to_datetime(table, format="ISO8601", utc=True, errors="coerce")
        if times.isna().any():
            what = f"{table[times.isna()].iloc[0]!r} is no time"
            raise DataError(f"{name}: {column!r}: {what}; write numbers, or dates as 2024-01-31")
        table = times
    ranks: Ints = np.unique(table.to_numpy(), return_inverse=True)[1].astype(np.int64)
    return ranks


def _given(dataset: Dataset, parts: Ints, hold_out: HoldOut) -> tuple[Ints, Ints, Ints]:
    """The parts as given; one that has no rows is held out of the training rows."""
    train, val, test = (np.flatnonzero(parts == part) for part in (TRAINING, VALIDATION, TEST))
    if dataset.x_test is not None and len(test):
        raise DataError(f"{dataset.name}: has a test set and test rows besides; give one of them")
    if not len(train):
        raise DataError(f"{dataset.name}: has no training rows; name some train")
    no_test = dataset.x_test is None and not len(test)
    if not len(val) and no_test:
        train, val, test = hold_out(train, 2)
    elif not len(val):
        train, val = hold_out(train, 1)
    elif no_test:
        train, test = hold_out(train, 1)
    return train, val, test


def _times(dataset: Dataset, ranks: Ints, held_out: int, seed: int) -> tuple[Ints, Ints, Ints]:
    """The latest rows are for test, those before for validation; rows of one time stay together."""
    order = np.argsort(ranks, kind="stable")
    size = max(1, (HELD_OUT_PERCENT * len(ranks) + 50) // 100)
    cuts = [len(ranks)]
    for _ in range(held_out):
        cut = max(0, cuts[-1] - size)
        while cut > 0 and ranks[order[cut]] == ranks[order[cut - 1]]:
            cut -= 1
        cuts.append(cut)
    if cuts[-1] == 0:
        raise DataError(f"{dataset.name}: has too few times to split by; give more, or drop split")
    blocks = [np.sort(order[start:end]) for end, start in pairwise(cuts)]
    none = np.empty(0, np.int64)
    test, val = blocks if held_out == 2 else (none, blocks[0])
    return np.sort(order[: cuts[-1]]), val, test


def _groups(dataset: Dataset, groups: Ints, held_out: int, seed: int) -> tuple[Ints, Ints, Ints]:
    """Groups in random order go where they bring the counts of classes nearer to 15 %, else to training."""
    y = dataset.y if dataset.classes else np.zeros(len(groups), np.int64)
    count, classes = int(groups.max()) + 1, max(1, len(dataset.classes))
    if count <= held_out:
        what = f"has {count} groups, too few for {held_out + 1} parts"
        raise DataError(f"{dataset.name}: {what}; give more, or drop split")
    table = np.zeros((count, classes))
    np.add.at(table, (groups, y), 1.0)
    missing = np.tile(table.sum(axis=0) * HELD_OUT_PERCENT / 100, (held_out, 1))
    part_of = np.full(count, -1)
    # numpy promises never to change the raw output of PCG64; shuffles of its Generator may change
    for group in np.argsort(np.random.PCG64(seed).random_raw(count), kind="stable"):
        for part in range(held_out):
            if ((missing[part] - table[group]) ** 2).sum() < (missing[part] ** 2).sum():
                missing[part] -= table[group]
                part_of[group] = part
                break
    sizes = table.sum(axis=1)
    for part in range(held_out):  # where every group is too large, the smallest one
        if not (part_of == part).any():
            part_of[min(np.flatnonzero(part_of == -1), key=lambda group: sizes[group])] = part
    train, val, test = (np.flatnonzero(part_of[groups] == part) for part in (-1, 0, 1))
    if not len(train):
        raise DataError(f"{dataset.name}: leaves no group for training; give more, or drop split")
    return train, val, test
