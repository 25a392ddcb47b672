"""How often Python searches for garbage in a process of hebbevo's own: a command or a worker."""

from __future__ import annotations

import gc

OBJECTS = 20_000
"""Python searches after so many new objects.

With its own 700 a search of 300 trials spends a tenth of its CPU time on some 500,000 objects of imported
libraries, which all stay.
"""


def collect_rarely() -> None:
    """Search for garbage after `OBJECTS` new objects."""
    gc.set_threshold(OBJECTS)
