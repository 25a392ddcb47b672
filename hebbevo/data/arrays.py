"""Data sets of named arrays, as .npz files and functions give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hebbevo.data.columns import different
from hebbevo.data.dataset import Dataset, with_labels
from hebbevo.data.division import TRAINING, VALIDATION, Division, division
from hebbevo.data.leaks import copies_of_target, growing
from hebbevo.data.options import Findings, ReadingOptions
from hebbevo.errors import DataError
from hebbevo.messages import listed, quoted

Arrays = Mapping[str, npt.NDArray[Any]]

_TRAINING = (
    *(("x", "y"), ("X", "y"), ("x_train", "y_train"), ("X_train", "y_train"), ("train_x", "train_y")),
    *(("train_images", "train_labels"), ("train_data", "train_labels"), ("images", "labels")),
    *(("data", "labels"), ("data", "target"), ("features", "labels")),
)
_VALIDATION = (
    *(("x_val", "y_val"), ("X_val", "y_val"), ("x_valid", "y_valid"), ("X_valid", "y_valid")),
    *(("x_validation", "y_validation"), ("val_x", "val_y"), ("valid_x", "valid_y")),
    *(("val_images", "val_labels"), ("valid_images", "valid_labels"), ("val_data", "val_labels")),
)
_TEST = (
    *(("x_test", "y_test"), ("X_test", "y_test"), ("test_x", "test_y")),
    *(("test_images", "test_labels"), ("test_data", "test_labels")),
)
NAMES = frozenset(name for pairs in (_TRAINING, _VALIDATION, _TEST) for pair in pairs for name in pair)
"""The names of arrays that are looked for."""

_CHANNELS = (1, 3, 4)
_SMALLEST_SIDE = 5  # of what is taken for an image


def from_named(
    name: str, arrays: Arrays, options: ReadingOptions, findings: Findings | None, test: Arrays | None = None
) -> Dataset:
    """Make a data set of arrays with the names that Keras, MedMNIST and others give them.

    >>> import numpy as np
    >>> arrays = {"x_train": np.eye(4), "y_train": np.array([[0], [1], [0], [1]])}
    >>> from_named("mine", arrays, ReadingOptions(), None).y.tolist()
    [0, 1, 0, 1]

    Args:
        name: name of the data set.
        arrays: by their names.
        options: of these, ``split`` counts.
        findings: how the data were read before; ``None`` to find it out.
        test: the arrays of a test file, whose training rows count where it has no test rows.

    Raises:
        DataError: names are missing, or nothing can be trained on the arrays.
    """
    x, y = _training(name, arrays)
    x_val, y_val = _pair(name, arrays, _VALIDATION) or (None, None)
    x_test, y_test = _pair(name, arrays, _TEST) or (None, None)
    if test is not None:
        if x_test is not None:
            raise DataError(f"{name}: holds {x_test} besides the test file; drop one of them")
        where = options.test or name
        x_test, y_test = _pair(where, test, _TEST) or _training(where, test)
    has_validation = x_val is not None and (findings is None or findings.validation)
    roles = {"x": arrays[x], "y": arrays[y]}
    if has_validation:
        roles |= {"x_val": arrays[x_val or ""], "y_val": arrays[y_val or ""]}
    if x_test is not None and y_test is not None:
        source = arrays if test is None else test
        roles |= {"x_test": source[x_test], "y_test": source[y_test]}
    is_last = _are_channels_last(roles["x"]) if findings is None else findings.channels_last
    if is_last:
        roles |= {role: channels_first(roles[role]) for role in roles if role.startswith("x")}
    by = _division(name, roles, arrays, options)
    if has_validation:
        roles["x"], roles["y"] = (_joined(name, role, roles) for role in ("x", "y"))
    dataset = with_labels(name, roles["x"], roles["y"], roles.get("x_test"), roles.get("y_test"))
    if findings is None:
        remarks = []
        if is_last:
            shape = listed(np.shape(roles["x"])[1:])
            remarks.append(
                f"{x}: images with their channels last are turned to (channels, height, width) = ({shape})"
            )
        used = [each for each in (x, y, x_val, y_val, x_test, y_test) if each is not None]
        if x != "x":
            remarks.append(f"the arrays {listed(used)} are read as training, validation and test rows")
        remarks += different("labels", dataset.classes)
        copies = copies_of_target(dataset.x, dataset.y)
        if copies:
            what = f"feature {copies[0]} (counted from 0) says the same as the labels"
            remarks.append(f"{what}; leave it out if it is made from them")
        if rising := growing(dataset.x):
            what = f"feature {rising[0]} (counted from 0) grows or falls from row to row, as row numbers do"
            remarks.append(f"{what}; leave it out if it is one")
        findings = Findings(channels_last=is_last, validation=has_validation, remarks=tuple(remarks))
    return replace(dataset, division=by, findings=findings)


def rows_named(arrays: Arrays) -> tuple[str, str] | None:
    """The names of rows to predict and of their targets, which may be absent; ``None`` if there are no rows.

    Arrays named ``x`` go first, then those of a test set, then those of a training set.

    >>> rows_named({"x_train": np.eye(2), "x_test": np.eye(2)})
    ('x_test', 'y_test')
    """
    pairs = (*_TRAINING[:2], *_TEST, *_TRAINING)
    return next((pair for pair in pairs if pair[0] in arrays), None)


def _training(name: str, arrays: Arrays) -> tuple[str, str]:
    for pair in _TRAINING:
        if arrays.keys() >= {*pair}:
            return pair
    absent = [each for each in ("x", "y") if each not in arrays]
    held = quoted(list(arrays)) or "nothing"
    raise DataError(f"{name}: has no array {' and no '.join(absent)}, it holds {held}; save x and y")


def _pair(name: str, arrays: Arrays, pairs: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    for pair in pairs:
        if arrays.keys() >= {*pair}:
            return pair
    for x, y in pairs:
        if lone := {x, y} & arrays.keys():
            [given] = lone
            other = y if given == x else x
            raise DataError(f"{name}: {given} is given without {other}; give both or neither")
    return None


def _are_channels_last(x: npt.NDArray[Any]) -> bool:
    if x.ndim != 4 or x.shape[3] not in _CHANNELS or x.shape[1] in _CHANNELS:
        return False
    return all(side >= _SMALLEST_SIDE for side in x.shape[1:3])


def channels_first(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Images with their channels last, turned to channels first.

    >>> channels_first(np.zeros((5, 8, 8, 3))).shape
    (5, 3, 8, 8)
    """
    return np.moveaxis(x, -1, 1) if x.ndim == 4 else x


def _joined(name: str, role: str, roles: Arrays) -> npt.NDArray[Any]:
    """The training rows and, behind them, the validation rows."""
    train, val = roles[role], roles[f"{role}_val"]
    if train.shape[1:] != val.shape[1:] or not train.ndim or not val.ndim:
        shapes = f"{role}_val has rows of shape {val.shape[1:]} and {role} has {train.shape[1:]}"
        raise DataError(f"{name}: {shapes}; give both the same")
    if (train.dtype.kind in "OSU") != (val.dtype.kind in "OSU"):
        raise DataError(
            f"{name}: {role}_val holds {val.dtype} and {role} holds {train.dtype}; write both alike"
        )
    return np.concatenate([train, val])


def _division(name: str, roles: Arrays, arrays: Arrays, options: ReadingOptions) -> Division | None:
    """What decides which rows are held out."""
    if "x_val" in roles:
        if options.split:
            raise DataError(f"{name}: validation rows are given; drop split")
        counts = [roles[role].shape[0] if roles[role].ndim else 1 for role in ("x", "x_val")]
        return Division("column", np.repeat([TRAINING, VALIDATION], counts).astype(np.int64))
    if not options.split:
        return None
    kind, column = options.split
    if column not in arrays:
        raise DataError(f"{name}: has no array {column!r} to split by; it holds {quoted(list(arrays))}")
    values = arrays[column]
    if values.ndim not in (1, 2) or (values.size,) != roles["x"].shape[:1]:
        raise DataError(f"{name}: {column} has shape {values.shape}; give one value for each row")
    return division(name, kind, column, values)
