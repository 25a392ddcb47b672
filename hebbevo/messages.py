"""Texts that users read: lists of names, suggestions, the gist of an error, and texts that are only shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_MOST_QUOTED = 12


_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # part of words in several scripts


def printable(text: object) -> str:
    r"""Give a text in which control characters and other invisible ones are written as Python escapes.

    A terminal or a browser then shows such characters, which may come from names, labels, paths or error
    messages, and does not obey them. Line breaks count as control characters.

    >>> printable("red: \x1b[31m")
    'red: \\x1b[31m'
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in _JOINERS else each.encode("unicode_escape").decode()
        for each in text
    )


def listed(values: Iterable[object]) -> str:
    """Join values as ``a, b, c``, with ``true`` and ``false`` as YAML writes them.

    >>> listed(["usage", 3, True])
    'usage, 3, true'
    """
    return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in values)


def quoted(values: Sequence[object]) -> str:
    """Join the first 12 values as Python writes them, and mark that there are more with ``...``.

    >>> quoted(["a", 1])
    "'a', 1"
    """
    more = ", ..." if len(values) > _MOST_QUOTED else ""
    return ", ".join(map(repr, values[:_MOST_QUOTED])) + more


def closest(name: object, known: Iterable[object]) -> str | None:
    """Find the known name that is spelt most like ``name``, or ``None`` where none is similar.

    >>> closest("decy", ["delay", "decay"])
    'decay'
    """
    matches = difflib.get_close_matches(str(name), [str(other) for other in known], n=1)
    return matches[0] if matches else None


def did_you_mean(name: object, known: Iterable[object], otherwise: str) -> str:
    """Suggest the known name closest to ``name``, or say ``otherwise`` where none is similar.

    >>> did_you_mean("decy", ["rate", "decay"], "define it")
    'did you mean decay?'
    """
    match = closest(name, known)
    return otherwise if match is None else f"did you mean {match}?"


def unknown(name: str, known: Iterable[str]) -> str:
    """Quote a name that is not known, and add the closest known one, or all of them.

    >>> unknown("xyz", ["rate", "decay"])
    "'xyz'; known: rate, decay"
    """
    names = list(known)
    return f"{name!r}; {did_you_mean(name, names, f'known: {listed(names)}')}"


def first_line(message: object) -> str:
    r"""Give the first line of a message or of an error's message; empty where there is none.

    >>> first_line(ValueError("too long\nby far"))
    'too long'
    """
    return next(iter(str(message).strip().splitlines()), "")


def describe(error: BaseException) -> str:
    r"""Give the type of an error and the first line of its message.

    >>> describe(ValueError("too long\nby far"))
    'ValueError: too long'
    """
    return f"{type(error).__name__}: {first_line(error) or 'no message'}"
