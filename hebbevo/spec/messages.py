"""The wording of complaints about a space file."""

from __future__ import annotations

from collections.abc import Collection
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
