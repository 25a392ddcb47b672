"""Where Python looks for modules: not in the current folder, whose files need not belong to a study.

A folder with a study may hold a ``queue.py`` by chance or by malice. Code of the user that a study names is
found all the same: `hebbevo.user_code` adds the current folder once that code is allowed, behind Python's own
modules, so that none of them is replaced.

This module is imported first, so it imports only what every Python process has loaded at its start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Names of the folders that hold installed packages."""

_LIBRARY = os.path.dirname(os.__file__)
_OF_PYTHON = (_LIBRARY, os.path.join(_LIBRARY, "lib-dynload"))


def without_current_folder(path: Iterable[str]) -> list[str]:
    """Leave the current folder out of a search path of modules.

    An entry of ``PYTHONPATH`` that names the folder in full is a decision of the user, and stays. An empty or
    a relative one is not. Folders of Python itself and of installed packages stay, too.

    >>> without_current_folder(["", "/no/such/folder"])
    ['/no/such/folder']
    """
    named = {os.path.normpath(entry) for entry in _python_path() if os.path.isabs(entry)}
    kept = []
    for entry in path:
        installed = os.path.basename(entry) in INSTALLED or entry == _LIBRARY
        if installed or os.path.normpath(entry) in named or not _is_current_folder(entry):
            kept.append(entry)
    return kept


def with_folder(path: Iterable[str], folder: str) -> list[str]:
    """Add a folder to a search path of modules, where it is not on it: before installed packages.

    Python's own modules come first, whatever files lie beside the user's code. An installed package may be an
    older copy of that code, so it comes later.

    >>> with_folder(["/mine", *sys.path], "/mine") == ["/mine", *sys.path]
    True
    """
    found = list(path)
    if folder not in found:
        own = [place for place, entry in enumerate(found) if os.path.normpath(entry) in _OF_PYTHON]
        found.insert(own[-1] + 1 if own else len(found), folder)
    return found


def protect_command() -> None:
    """Take the current folder from the path where this process runs hebbevo as a command.

    ``python -m hebbevo`` puts it first. In other programs the path is theirs.
    """
    if _is_command():
        sys.path[:] = without_current_folder(sys.path)


def _is_command() -> bool:
    # Python writes -m there while it looks for the module
    if sys.argv[:1] == ["-m"]:
        words = (word.removeprefix("-m") for word in sys.orig_argv)
        return any(word.partition(".")[0] == "hebbevo" for word in words)
    return os.path.splitext(os.path.basename(sys.argv[0] if sys.argv else ""))[0] == "hebbevo"


def _is_current_folder(entry: str) -> bool:
    try:
        return not entry or os.path.samefile(entry, os.curdir)
    except OSError:  # one of the two does not exist
        return False


def _python_path() -> list[str]:
    return os.environ.get("PYTHONPATH", "").split(os.pathsep)
