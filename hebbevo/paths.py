"""Paths as the user writes them."""

from __future__ import annotations

import os
from pathlib import Path

from hebbevo.errors import UsageError


def expanded(path: str | Path) -> Path:
    """A path with the home folder in place of ``~`` or ``~NAME``.

    >>> expanded("data/mine.csv")
    PosixPath('data/mine.csv')

    Raises:
        UsageError: there is no user of that name.
    """
    found = os.path.expanduser(path)
    if found.startswith("~"):
        user = Path(found).parts[0].removeprefix("~") or "this user"
        raise UsageError(f"{path}: no home folder of {user} is known; write the whole path")
    return Path(found)
