"""The studies that a command line names: files, folders, patterns, or names in a database."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from hebbevo.errors import UsageError
from hebbevo.paths import expanded
from hebbevo.study.comparison.comparison import Comparison, compare
from hebbevo.study.storage import studies_in, studies_of, the_only
from hebbevo.study.view import Study, open_study


def selected(places: Sequence[str], named: Sequence[str], storage: str | None = None) -> Comparison:
    """Compare the studies at these places.

    Args:
        places: study files, folders, or names in the database; grouped by their settings.
        named: groups as ``NAME=STUDIES``, where the latter is a place, or a pattern with ``*``.
        storage: URL of a database.

    Raises:
        UsageError: there is no such study, there are too few, or they cannot be compared.
    """
    groups: dict[str, list[Study]] = {}
    for text in named:
        name, equals, pattern = text.partition("=")
        if not (name.strip() and equals and pattern):
            raise UsageError(f"--group: {text!r} is no group; write NAME=STUDIES, as 'ga=studies/ga-*.db'")
        found = [open_study(place, storage) for place in _matching(pattern, storage)]
        groups.setdefault(name.strip(), []).extend(found)
    others = [open_study(study, storage) for place in places for study in _at(place, storage)]
    return compare(groups, others=others) if groups else compare(others)


def _matching(pattern: str, storage: str | None) -> list[str | Path]:
    """The studies that a pattern, or a place without one, stands for."""
    if not any(sign in pattern for sign in "*?["):
        return _at(pattern, storage)
    found: list[str | Path]
    if storage is not None:
        found = [each.name for each in studies_in(storage) if fnmatchcase(each.name, pattern)]
    else:
        paths = sorted(glob.glob(str(expanded(pattern))))
        found = [study for path in paths for study in _at(path, None)]
    if not found:
        raise UsageError(f"--group: no study matches {pattern!r}; 'hebbevo studies' lists them")
    return found


def _at(place: str, storage: str | None) -> list[str | Path]:
    """The study at a place, or all studies in a folder."""
    folder = expanded(place)
    if storage is not None or not folder.is_dir():
        return [place]
    named = None if place.endswith(os.sep) else the_only(folder)
    found = [study.path for study in studies_of(folder)]
    if named and found:
        raise UsageError(
            f"{place}: may be the folder {folder}{os.sep} or the study {named}; write one of them"
        )
    if named:
        return [named]
    if not found:
        raise UsageError(f"{place}: there are no studies in this folder; write another")
    return [*found]
