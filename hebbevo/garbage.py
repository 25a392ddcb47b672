"""How often Python searches for garbage in a command, in a worker, and while a search runs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS = 20_000
"""Python searches after so many new objects.

With its own 700 a search of 300 trials spends a tenth of its CPU time on some 500,000 objects of imported
libraries, which all stay.
"""


def collect_rarely() -> None:
    """Search for garbage after `OBJECTS` new objects."""
    gc.set_threshold(OBJECTS)


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Search for garbage rarely for a while, in a process that is not of hebbevo's own.

    >>> with collected_rarely():
    ...     gc.get_threshold()[0] >= OBJECTS
    True
    """
    before = gc.get_threshold()
    if 0 < before[0] < OBJECTS:  # 0: never
        collect_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*before)
