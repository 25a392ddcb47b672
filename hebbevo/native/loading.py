"""The compiled engine: which build suits the processor, and its functions.

The engine is a plain C library without a Python interface, called by `ctypes`, which releases the
interpreter's lock. There is a build for each width of vectors; the wheel has those that its compiler could
make.
"""

from __future__ import annotations

import ctypes as c
from functools import cache

from hebbevo.errors import UsageError
from hebbevo.native.building import WIDTHS, path_of
from hebbevo.native.structures import Data, Layer, Network, Units

VERSION = 5
"""Version of the native engine. A study that it began can only be continued by the same version."""

COMMAND = "python -m hebbevo.native"
"""Compiles the engine."""

TILE = 6
"""Rows of weights whose gradients are computed at once."""

_STRUCTURES = (Units, Layer, Network, Data)
_POINTER, _LONG, _INT = c.c_void_p, c.c_int64, c.c_int


class Library:
    """The functions of one build; see ``source/engine.c``.

    Attributes:
        width: floats in a vector.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._library = library = c.CDLL(str(path_of(width)))
        layout = (_LONG * (1 + len(_STRUCTURES)))()
        library.hebbevo_layout(layout)
        if [*layout] != [VERSION, *map(c.sizeof, _STRUCTURES)]:
            what = "the compiled native engine is of another version of hebbevo"
            raise UsageError(f"{what}; compile it again: {COMMAND}")

        def function(name: str, result: type | None, *arguments: type) -> c._NamedFuncPointer:
            found: c._NamedFuncPointer = getattr(library, f"hebbevo_{name}")
            found.restype, found.argtypes = result, arguments
            return found

        self.drop_dead = function("drop_dead", None, _POINTER)
        self.lay_out_masks = function("lay_out_masks", None, _POINTER)
        self.train = function("train", _LONG, _POINTER, _POINTER, _POINTER, _LONG, _LONG, _POINTER, _POINTER)
        self.train_all = function(
            "train_all",
            None,
            *(_POINTER, _LONG, _POINTER, _POINTER, _LONG, _LONG, _POINTER, _POINTER, _POINTER),
        )
        self.outputs = function("outputs", None, _POINTER, _POINTER, _LONG, _POINTER)
        self.right = function("right", None, _POINTER, _LONG, _POINTER, _LONG, _POINTER)
        self.begin_event = function("begin_event", _LONG, _POINTER, _INT)
        self.prune = function("prune", None, _POINTER, _INT, _POINTER)
        self.end_events = function("end_events", None, _POINTER)
        self.survivors = function("survivors", None, _POINTER, _LONG, _POINTER, _POINTER, _POINTER)
        self.widest = function("widest", _INT)


def is_built() -> bool:
    """Whether this installation has a compiled engine."""
    return path_of(WIDTHS[0]).exists()


def usable_widths() -> list[int]:
    """The widths of vectors, in floats, that installation and processor have; none: it is not compiled."""
    if not is_built():
        return []
    widest = Library(WIDTHS[0]).widest()
    return [width for width in WIDTHS if width <= widest and path_of(width).exists()]


@cache
def library() -> Library:
    """Load the build with the widest vectors that this processor has.

    Raises:
        UsageError: there is none, or it is of another version of hebbevo.
    """
    widths = usable_widths()
    if not widths:
        raise UsageError(why_missing())
    return Library(widths[-1])


def why_missing() -> str:
    """Say that there is no compiled engine, and how to get it."""
    return (
        "the native engine is not compiled here; install a C compiler, as with 'apt install gcc', and run "
        f"{COMMAND}, or write engine: pytorch, which takes about three times as long"
    )
