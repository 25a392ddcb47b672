"""Data sets that a function of the user's returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hebbevo import user_code
from hebbevo.data.arrays import from_named
from hebbevo.data.dataset import Dataset, with_labels
from hebbevo.data.options import NO_OPTIONS, Findings, ReadingOptions
from hebbevo.errors import DataError
from hebbevo.messages import first_line

ROLES = ("x", "y", "x_test", "y_test")


def load_function(
    name: str, options: ReadingOptions = NO_OPTIONS, findings: Findings | None = None
) -> Dataset:
    """Call the function that the reference ``name`` names, and check what it returns.

    Raises:
        DataError: it returns something other than arrays, or a classifier cannot be trained on them.
        UsageError: there is no such function, or it raises an exception.
    """
    make = user_code.resolve(name)
    with user_code.calling(name):
        made = make()
    if isinstance(made, Dataset):
        if options.split:
            raise DataError(f"{name}: returned a Dataset, which has no column to split by; return a mapping")
        given, by = _arrays_of(name, made), made.division
        arrays = {role: _array(name, role, value) for role, value in zip(ROLES, given, strict=False)}
        dataset = with_labels(name, arrays["x"], arrays["y"], arrays.get("x_test"), arrays.get("y_test"))
        return replace(dataset, division=by)
    if isinstance(made, Mapping) and all(isinstance(role, str) for role in made):
        return from_named(
            name, {role: _array(name, role, value) for role, value in made.items()}, options, findings
        )
    if not isinstance(made, tuple | list) or len(made) not in (2, 4):
        what = "None" if made is None else f"a {type(made).__name__}"
        count = f" of {len(made)}" if isinstance(made, tuple | list) else ""
        raise DataError(f"{name}: returned {what}{count}; return (x, y) or (x, y, x_test, y_test)")
    arrays = {role: _array(name, role, value) for role, value in zip(ROLES, made, strict=False)}
    return from_named(name, arrays, options, findings)


def _array(name: str, role: str, value: object) -> npt.NDArray[Any]:
    try:
        return np.asarray(value)
    except Exception as error:  # such as for ragged lists, or tensors with a gradient or on a GPU
        raise DataError(
            f"{name}: {role} is a {type(value).__name__} that cannot become an array ({first_line(error)});"
            " return numpy arrays or plain CPU tensors"
        ) from error


def _arrays_of(name: str, dataset: Dataset) -> list[npt.NDArray[Any]]:
    """The arrays from which `from_arrays` makes this data set, so that it is checked like any other."""
    try:
        labels = np.array(dataset.classes, object)
        arrays = [dataset.x.reshape(-1, *dataset.shape), labels[dataset.y] if len(labels) else dataset.y]
        if dataset.x_test is not None:
            y_test = labels[dataset.y_test] if len(labels) else np.asarray(dataset.y_test)
            arrays += [dataset.x_test.reshape(-1, *dataset.shape), y_test]
        return arrays
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise DataError(
            f"{name}: returned a Dataset whose parts do not belong together ({error});"
            " make it with hebbevo.data.from_arrays"
        ) from error
