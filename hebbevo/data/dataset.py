"""Data sets in memory, checked: rows of features, and their targets: classes, or amounts to predict."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from hebbevo.data.amounts import WRITE_REGRESSION, Label, amounts_advice, may_be_amounts
from hebbevo.data.columns import Column
from hebbevo.data.division import Division
from hebbevo.data.options import NO_FINDINGS, Findings
from hebbevo.errors import DataError
from hebbevo.messages import quoted

Features = npt.NDArray[np.float32] | npt.NDArray[np.float64]

_VALUES_AT_A_TIME = 2**22

Kind = Literal["classification", "regression"]
"""What is predicted: one of some classes, or an amount."""

MAX_FLOAT_CLASSES = 1000
"""More different float labels than this are taken for the values of a regression."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set for classification or regression. Features have the values that their source has.

    Attributes:
        name: name, path or reference of the data set.
        x: features, shape (rows, features); in float32 if it holds all values of ``x`` and ``x_test``
            exactly, otherwise in float64.
        y: indices into ``classes``, or the targets of a regression, shape (rows,).
        classes: the original labels in sorted order; none for a regression.
        x_test: features of the test set, shape (test rows, features), or ``None`` without a test set.
        y_test: as ``y``, of the test set, shape (test rows,), or ``None``.
        shape: shape of a row before it was flattened, by default (features,).
        division: what decides which rows are held out; ``None``: chance, class by class.
        findings: how the data were read where the user has not said it.
        columns: the columns of a table, in the order of its features; empty if rows are no table's.
    """

    name: str
    x: Features
    y: npt.NDArray[Any]
    classes: tuple[Label, ...]
    x_test: Features | None = None
    y_test: npt.NDArray[Any] | None = None
    shape: tuple[int, ...] = ()
    division: Division | None = None
    findings: Findings = NO_FINDINGS
    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        if not self.shape:
            object.__setattr__(self, "shape", self.x.shape[1:])

    @property
    def kind(self) -> Kind:
        """What is predicted."""
        return "classification" if self.classes else "regression"

    @property
    def fingerprint(self) -> str:
        """SHA-256 (64 hex digits) of the flat arrays, classes and division, without name and ``shape``."""
        digest = hashlib.sha256(repr(self.classes).encode())
        arrays: list[npt.NDArray[Any] | None] = [self.x, self.y, self.x_test, self.y_test]
        if self.division is not None:
            digest.update(self.division.kind.encode())
            arrays.append(self.division.values)
        for array in arrays:
            digest.update(repr(None if array is None else array.shape).encode())
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def in_float32(self) -> Dataset:
        """The same data with rounded features, as all data sets once were."""
        x_test = None if self.x_test is None else self.x_test.astype(np.float32)
        return replace(self, x=self.x.astype(np.float32), x_test=x_test)


def input_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in which a network takes a row of ``shape``: images get a channel where they have none.

    >>> input_shape((8, 8)), input_shape((3, 32, 32)), input_shape((20,))
    ((1, 8, 8), (3, 32, 32), (20,))
    """
    return (1, *shape) if len(shape) == 2 else shape


def from_arrays(
    name: str,
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    x_test: npt.NDArray[Any] | None = None,
    y_test: npt.NDArray[Any] | None = None,
    *,
    columns: Sequence[str] = (),
    kind: Kind = "classification",
) -> Dataset:
    """Check arrays and copy them into a data set.

    >>> import numpy as np
    >>> from hebbevo.data import from_arrays
    >>> data = from_arrays("mine", np.array([[0.0, 1.0], [2.0, 3.0]]), np.array(["no", "yes"]))
    >>> data.classes, data.y.tolist()
    (('no', 'yes'), [0, 1])

    Args:
        name: name of the data set, with which error messages begin.
        x: numbers or booleans, shape (rows, ...), to be flattened to (rows, features). Images are (rows,
            height, width) or (rows, channels, height, width); no axes are moved.
        y: labels, shape (rows,) or (rows, 1): numbers, text or booleans; for a regression numbers.
        x_test: as ``x``, of a test set; or ``None``.
        y_test: as ``y``, of a test set; or ``None``.
        columns: a name for each feature, for error messages.
        kind: ``classification``, or ``regression`` where ``y`` holds amounts.

    Raises:
        DataError: no network can be trained on these arrays.
    """
    return of_kind(with_labels(name, x, y, x_test, y_test, columns=columns), kind)


def of_kind(dataset: Dataset, kind: Kind) -> Dataset:
    """Check labels of any kind, as `with_labels` gives them, for classification or regression.

    >>> import numpy as np
    >>> data = with_labels("prices", np.eye(3), np.array([1.5, 2.5, 4.0]))
    >>> of_kind(data, "regression").y.tolist()
    [1.5, 2.5, 4.0]

    Raises:
        DataError: the labels cannot be classes, or amounts.
    """
    return _regression(dataset) if kind == "regression" else _classification(dataset)


def likely_kind(dataset: Dataset) -> Kind:
    """What is predicted, most likely: an amount where labels are fractions, or many whole numbers.

    Many whole numbers from 0 without a gap are classes where they are no column of a table.

    >>> import numpy as np
    >>> likely_kind(with_labels("prices", np.eye(3), np.array([1.5, 2.5, 4.0])))
    'regression'

    Args:
        dataset: data whose different labels are its classes, as `with_labels` gives them.
    """
    classes = dataset.classes
    are_places = not dataset.columns and classes == tuple(range(len(classes)))
    return "regression" if may_be_amounts(classes) and not are_places else "classification"


def _classification(dataset: Dataset) -> Dataset:
    name, y, classes = dataset.name, dataset.y, dataset.classes
    known = len(set(y.tolist()))  # classes of the test set alone are behind those of the other rows
    if isinstance(classes[0], float) and (known > MAX_FLOAT_CLASSES or known == len(y)):
        raise DataError(
            f"{name}: y has {known} different float labels in {len(y)} rows, which looks like regression;"
            f" {WRITE_REGRESSION}, or write classes"
        )
    if known == 1:
        raise DataError(f"{name}: y has the single class {classes[0]!r}; give rows of two classes or more")
    if unseen := classes[known:]:
        raise DataError(
            f"{name}: y_test has labels that y has not: {quoted(unseen)};"
            f" drop those rows or train on them too{amounts_advice(classes)}"
        )
    return dataset


def _regression(dataset: Dataset) -> Dataset:
    name, classes = dataset.name, dataset.classes
    if not classes:
        return dataset
    if wrong := [label for label in classes if isinstance(label, bool | str)]:
        raise DataError(
            f"{name}: y holds {wrong[0]!r}, and a regression predicts numbers; write numbers, or drop"
            " kind: regression"
        )
    amounts = np.array(classes, np.float64)
    y, y_test = amounts[dataset.y], None if dataset.y_test is None else amounts[dataset.y_test]
    if (y == y[0]).all():
        raise DataError(f"{name}: y is {y[0]:g} in every row; give targets that differ")
    return replace(dataset, y=y, y_test=y_test, classes=())


def with_labels(
    name: str,
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    x_test: npt.NDArray[Any] | None = None,
    y_test: npt.NDArray[Any] | None = None,
    *,
    columns: Sequence[str] = (),
) -> Dataset:
    """Check arrays and copy them, as `from_arrays` does, whatever the labels may mean.

    >>> import numpy as np
    >>> with_labels("one", np.eye(2), np.array(["a", "a"])).classes
    ('a',)

    Returns:
        A data set whose ``classes`` are the labels of ``y`` in sorted order, then those that only ``y_test``
        has.

    Raises:
        DataError: these are no rows of numbers with a label each.
    """
    exact = [_fits_float32(array) for array in (x, x_test) if array is not None]
    kind = np.float32 if all(exact) else np.float64
    features = _features(name, "x", x, columns, kind)
    labels = _labels(name, "y", y, rows=len(features))
    classes = tuple(sorted(set(labels)))
    index = {label: place for place, label in enumerate(classes)}
    indices = np.array([index[label] for label in labels], np.int64)

    if x_test is None and y_test is None:
        return Dataset(name, features, indices, classes, shape=x.shape[1:])
    if x_test is None or y_test is None:
        lone, other = ("x_test", "y_test") if y_test is None else ("y_test", "x_test")
        raise DataError(f"{name}: {lone} is given without {other}; give both or neither")
    test_features = _features(name, "x_test", x_test, columns, kind)
    if np.shape(x_test)[1:] != np.shape(x)[1:]:
        raise DataError(
            f"{name}: a row of x_test has shape {np.shape(x_test)[1:]} and one of x has {np.shape(x)[1:]};"
            " give both the same features"
        )
    test_labels = _labels(name, "y_test", y_test, rows=len(test_features))
    classes += tuple(sorted(set(test_labels) - set(classes), key=repr))
    index = {label: place for place, label in enumerate(classes)}
    test_indices = np.array([index[label] for label in test_labels], np.int64)
    return Dataset(name, features, indices, classes, test_features, test_indices, x.shape[1:])


def _fits_float32(x: npt.NDArray[Any]) -> bool:
    """Whether float32 holds every value exactly."""
    if x.dtype.kind not in "iuf" or x.dtype in (np.dtype(np.float32), np.dtype(np.float16)):
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        parts = np.array_split(x, max(1, x.size // _VALUES_AT_A_TIME)) if x.ndim else [x]
        # cast back: compared with a float, a large integer is rounded itself
        return all(
            np.array_equal(part, part.astype(np.float32).astype(part.dtype), equal_nan=True) for part in parts
        )


def _features(
    name: str,
    role: str,
    x: npt.NDArray[Any],
    columns: Sequence[str],
    kind: type[np.float32] | type[np.float64],
) -> Features:
    if x.dtype.kind not in "biuf":
        raise DataError(f"{name}: {role} holds {x.dtype} values; write real numbers")
    if x.ndim < 2:
        raise DataError(
            f"{name}: {role} has shape {x.shape}; write one row for each sample: (rows, features)"
        )
    if x.size == 0:
        raise DataError(f"{name}: {role} is empty, its shape is {x.shape}; give it rows and features")
    with np.errstate(over="ignore", invalid="ignore"):
        rows: Features = np.array(x.reshape(len(x), -1), kind, order="C")  # type: ignore[assignment]
    finite = np.abs(rows) <= np.finfo(np.float32).max  # also false for what is not a number
    if not finite.all():
        row, column = divmod(int(finite.argmin()), rows.shape[1])
        where = repr(columns[column]) if columns else str(column)
        raise DataError(
            f"{name}: {role} has {rows.size - np.count_nonzero(finite)} missing, infinite or too"
            f" large values, the first in row {row}, column {where} (counted from 0);"
            " fill them in or drop those rows"
        )
    if x.dtype.kind in "iu" and kind is np.float64:
        for column, (whole, rounded) in enumerate(zip(x.reshape(len(x), -1).T, rows.T, strict=True)):
            if np.abs(rounded).max() > 2**53 and len(np.unique(whole)) > len(np.unique(rounded)):
                where = repr(columns[column]) if columns else str(column)
                raise DataError(
                    f"{name}: {role} has integers in column {where} that differ in float64 no more;"
                    " subtract a constant from them or drop the column"
                )
    return rows


def _labels(name: str, role: str, y: npt.NDArray[Any], rows: int) -> list[Label]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(
            f"{name}: {role} has shape {y.shape}; write one label for each row (of one-hot rows, the argmax)"
        )
    if len(y) != rows:
        raise DataError(f"{name}: {role} has {len(y)} labels for {rows} rows; give one for each")
    if y.dtype.kind not in "biufUO":
        raise DataError(f"{name}: {role} holds {y.dtype} labels; write numbers, text or booleans")
    labels = [label.item() if isinstance(label, np.generic) else label for label in y.tolist()]
    missing = [
        row
        for row, label in enumerate(labels)
        if label is None or (isinstance(label, float) and not math.isfinite(label))
    ]
    if missing:
        raise DataError(
            f"{name}: {role} has {len(missing)} missing or infinite labels, the first in row {missing[0]}"
            " (counted from 0); fill them in or drop those rows"
        )
    types = {type(label) for label in labels}
    if types == {int, float}:
        return [float(label) for label in labels]
    if len(types) > 1 or not types <= {int, float, str, bool}:
        found = " and ".join(sorted(kind.__name__ for kind in types))
        raise DataError(
            f"{name}: {role} holds {found} labels; write only numbers, only text or only booleans"
        )
    return cast(list[Label], labels)
