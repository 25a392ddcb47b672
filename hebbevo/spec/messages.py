"""The wording of complaints about a space file."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from hebbevo.errors import SpaceError
from hebbevo.messages import closest, listed

KeyPath = tuple[str | int, ...]
"""The keys, and the places in lists counted from 0, that lead to a value of a space file."""

_MOST_SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a space file.

    Attributes:
        path: where it is.
        what: what is wrong; what to write instead.
        line: its line in the file, from 1, where that is not the line of ``path``.
    """

    path: KeyPath
    what: str
    line: int | None = None


def not_known(name: object, noun: str, known: Collection[str]) -> str:
    """Say that a name is not ``noun``, as ``a sampler``, and suggest the closest known name first."""
    match = closest(name, known)
    advice = f"write {match}; known: " if match else "write one of "
    return f"{shown(name)} is not {noun}; {advice}{listed(known)}"


def shown(value: object) -> str:
    """A value as YAML has it, shortened to 60 characters; ``None`` is ``nothing``."""
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def key(path: KeyPath) -> str:
    """A path with dots, as ``genome.warmup.low``."""
    return ".".join(str(part) or "''" for part in path)


def error_in_file(path: Path, line: int, key: str, what: str) -> SpaceError:
    """The error with the message ``FILE:LINE: KEY: what is wrong; what to write``."""
    return SpaceError(one_line(f"{path}:{line}: {key}: {what}"))


def one_line(text: str) -> str:
    r"""Write line breaks and other unprintable characters as escapes, such as ``\n``."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def raise_all(lines: Iterable[str]) -> None:
    """Raise the first line as an error, and the others as its notes; without a line, raise nothing.

    >>> try:
    ...     raise_all(["2: name: missing; write one", "4: task: missing; write one"])
    ... except SpaceError as error:
    ...     print(error, error.__notes__)
    2: name: missing; write one ['4: task: missing; write one']
    """
    found = [*map(one_line, lines)]
    if not found:
        return
    error = SpaceError(found[0])
    for line in found[1:]:
        error.add_note(line)
    raise error


def is_inside(path: KeyPath, places: Iterable[KeyPath]) -> bool:
    """Whether a path is one of some places, or leads to something in one of them.

    >>> is_inside(("task", "split", "time"), [("task", "split")]), is_inside(("task",), [("task", "split")])
    (True, False)
    """
    return any(path[: len(place)] == place for place in places)


def one_a_place(problems: Iterable[Problem]) -> list[Problem]:
    """The first problem of each place, in the order given.

    >>> one_a_place([Problem(("name",), "missing"), Problem(("name",), "too long")])
    [Problem(path=('name',), what='missing', line=None)]
    """
    first: dict[KeyPath, Problem] = {}
    for problem in problems:
        first.setdefault(problem.path, problem)
    return [*first.values()]
