"""What a shell completes. Nothing here imports what takes long, so that the tabulator answers at once."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from click import Context, Parameter
from click.shell_completion import CompletionItem

from hebbevo.study.study_names import STUDIES, SUFFIX, is_database

Completer = Callable[[Context, Parameter, str], list[CompletionItem]]
"""Gives what begins as the user has begun: `click` calls it with the command, the parameter and the text."""

_SPACES = (".yaml", ".yml")


def values(find: Callable[[], Iterable[str]]) -> Completer:
    """Make a completer of values that do not depend on what else is on the command line.

    Args:
        find: gives them; it is called when the user asks.
    """

    def complete(context: Context, parameter: Parameter, begun: str) -> list[CompletionItem]:
        return [CompletionItem(value) for value in find() if value.startswith(begun)]

    return complete


def studies(context: Context, parameter: Parameter, begun: str) -> list[CompletionItem]:
    """Complete studies: by name those in ``studies``, by path those here and in the folder that is begun."""
    return _named(_studies(begun), begun)


def spaces(context: Context, parameter: Parameter, begun: str) -> list[CompletionItem]:
    """Complete spaces: the names of those that ship with hebbevo, and space files."""
    return _named(_spaces(begun), begun)


def spaces_and_studies(context: Context, parameter: Parameter, begun: str) -> list[CompletionItem]:
    """Complete what is a space or a study; a name that both have stands for the space."""
    return _named(dict.fromkeys([*_spaces(begun), *_studies(begun)]), begun)


def data(context: Context, parameter: Parameter, begun: str) -> list[CompletionItem]:
    """Complete data: the names of built-in data sets, and files."""
    from hebbevo.data import BUILT_IN, FILE_SUFFIXES

    files = [path for path in _files_at(begun) if path.endswith(tuple(FILE_SUFFIXES))]
    return _named([*BUILT_IN, *files], begun)


def trials(context: Context, parameter: Parameter, begun: str) -> list[CompletionItem]:
    """Complete numbers of complete trials of the study that is on the command line, if that is a file."""
    # where the option has no value yet, click leaves the arguments unread
    begins = [context.params.get("study"), *context.args]
    path = _file_of(next((str(each) for each in begins if each), ""))
    if path is None:
        return []
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=0.1)) as connection:
            rows = connection.execute("SELECT number FROM trials WHERE state = 'COMPLETE' ORDER BY number")
            return [CompletionItem(str(number)) for (number,) in rows if str(number).startswith(begun)]
    except sqlite3.Error:
        return []


def _named(known: Iterable[str], begun: str) -> list[CompletionItem]:
    """The known names that begin so; where there are none, the shell completes files and folders."""
    found = [CompletionItem(name) for name in known if name.startswith(begun)]
    return found or [CompletionItem(begun, type="file")]


def _spaces(begun: str) -> list[str]:
    from hebbevo.spec.shipped_spaces import shipped

    return [*shipped(), *(path for path in _files_at(begun) if path.endswith(_SPACES))]


def _studies(begun: str) -> list[str]:
    """Those in ``studies``, without folder and suffix where this is not ambiguous, and those at a path."""
    here = [path for path in map(Path, _files_at("")) if is_database(path)]
    files = [path for path in map(Path, _files_at(f"{STUDIES}{os.sep}")) if is_database(path)]
    times = Counter(path.stem for path in [*here, *files])
    named = [path.stem if times[path.stem] == 1 else str(path) for path in files]
    return [*named, *(path for path in _files_at(begun) if is_database(Path(path).expanduser()))]


def _files_at(begun: str) -> list[str]:
    """The files in the folder that a path has, with this folder as the user has written it."""
    folder = begun[: len(begun) - len(os.path.basename(begun))]
    try:
        names = sorted(os.listdir(Path(folder).expanduser()))
    except (OSError, RuntimeError):
        return []
    return [f"{folder}{name}" for name in names if name[0] != "." or begun.endswith(".")]


def _file_of(study: str) -> Path | None:
    """The file that a name of a study stands for; the command itself looks more closely."""
    for folder in (Path(), STUDIES):
        for name in (study, f"{study}{SUFFIX}"):
            if is_database(path := folder / Path(name).expanduser()):
                return path
    return None
