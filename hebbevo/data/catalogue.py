"""Loading any data set: built in, from a file, or made by a function of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hebbevo.data.cifar import load_cifar
from hebbevo.data.dataset import Dataset, Kind, of_kind, with_labels
from hebbevo.data.files import FILE_SUFFIXES, READERS, suffix_of
from hebbevo.data.functions import load_function
from hebbevo.data.idx import load_idx
from hebbevo.data.options import NO_OPTIONS, Findings, ReadingOptions
from hebbevo.data.originals import locate
from hebbevo.errors import DataError
from hebbevo.paths import expanded
from hebbevo.user_code import is_reference


def load_digits(name: str) -> Dataset:
    """Read the 1797 digits of 8 x 8 pixels that scikit-learn ships."""
    home = find_spec("sklearn")  # only located: importing it would take half a second
    assert home is not None and home.origin is not None
    rows = np.loadtxt(Path(home.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return with_labels(name, rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(int))


def _from_originals(load_files: Callable[[str, Mapping[str, Path]], Dataset]) -> Callable[[str], Dataset]:
    """A loader that finds or downloads the original files of a data set first."""
    return lambda name: load_files(name, locate(name))


_LOADERS: dict[str, Callable[[str], Dataset]] = {
    "digits": load_digits,
    "mnist": _from_originals(load_idx),
    "fashion_mnist": _from_originals(load_idx),
    "cifar10": _from_originals(load_cifar),
}
BUILT_IN: tuple[str, ...] = tuple(_LOADERS)


def load(
    name: str,
    *,
    target: str | None = None,
    options: ReadingOptions = NO_OPTIONS,
    findings: Findings | None = None,
    kind: Kind = "classification",
) -> Dataset:
    """Load a data set by its name, path or reference.

    The image sets are read from ``$HEBBEVO_DATA/NAME`` (``~/.cache/hebbevo/NAME`` when unset). Original files
    that are not there are downloaded. Values stay as stored: pixels of the image sets are 0 to 255, those of
    the digits 0 to 16.

    >>> from hebbevo.data import load
    >>> digits = load("digits")
    >>> digits.x.shape, digits.shape, digits.classes
    ((1797, 64), (8, 8), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9))

    Args:
        name: one of ``BUILT_IN``, the path of an .npz file or of a table, or a function as
            ``package.module:function``. The function is called without arguments. It returns (x, y) or
            (x, y, x_test, y_test), arrays or CPU tensors as `from_arrays` takes them. It may also return a
            `Dataset`, or a mapping of arrays by names such as ``x_train``.
        target: name of the label column of a table.
        options: what else the user says about the data.
        findings: the ``findings`` of the data set when it was read before; ``None`` to find them out.
        kind: what is predicted, ``classification`` or ``regression``.

    Raises:
        DataError: there is no such data set, or no network can be trained on it.
        UsageError: the function is not found, or raises an exception.
    """
    return of_kind(load_labelled(name, target, options, findings), kind)


def load_labelled(
    name: str,
    target: str | None = None,
    options: ReadingOptions = NO_OPTIONS,
    findings: Findings | None = None,
) -> Dataset:
    """Load a data set as `load` does, whatever its labels may mean: each different one is a class.

    >>> load_labelled("digits").kind
    'classification'

    Raises:
        DataError: there is no such data set, or its rows are no numbers with a label each.
        UsageError: the function is not found, or raises an exception.
    """
    if name in _LOADERS or is_reference(name):
        if target is not None:
            raise DataError(f"{name}: target {target!r} is for tables; leave it out")
        if options.categorical:
            raise DataError(f"{name}: task.categorical is for tables; leave it out")
        if name in _LOADERS:
            return _LOADERS[name](name)
        return load_function(name, options, findings)
    suffix = suffix_of(name)
    if suffix is None:
        raise DataError(
            f"{name}: is no known data set; write one of {', '.join(BUILT_IN)}, the path of a file that"
            f" ends in {', '.join(FILE_SUFFIXES)}, or package.module:function"
        )
    return READERS[suffix](name, expanded(name), target, options, findings)
