"""Names of study files. Nothing here needs Optuna: the completion of a shell must not wait for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from hebbevo.messages import listed

STUDIES = Path("studies")
"""The folder of study files and reports, unless the user names another."""

SUFFIX = ".db"
"""How the name of a study file ends, unless the user names another."""

MAGIC = b"SQLite format 3\0"
"""The first bytes of a study file."""

_MOST_LISTED = 12


def is_database(path: Path) -> bool:
    """Whether a file begins as a study file does; ``False`` where it cannot be read.

    >>> is_database(Path("nothing.db"))
    False
    """
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def closest_studies(name: str, known: Iterable[str]) -> str:
    """What to write in place of a name that no study has; empty where there are no studies.

    >>> closest_studies("stamnia", ["stamina", "topology"])
    '; did you mean stamina? There are stamina, topology'
    """
    names = list(known)
    if not names:
        return ""
    by_stem = {Path(each).stem: each for each in reversed(names)}
    similar = [by_stem[each] for each in difflib.get_close_matches(Path(name).stem, by_stem)]
    shown = listed(names[:_MOST_LISTED])
    if len(names) > _MOST_LISTED:
        shown += f" and {len(names) - _MOST_LISTED} more"
    if not similar:
        return f"; there is {shown}" if len(names) == 1 else f"; there are {shown}"
    meant = f"; did you mean {' or '.join(similar)}?"
    return meant if len(similar) == len(names) else f"{meant} There are {shown}"
