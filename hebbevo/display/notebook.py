"""The progress of a search in a notebook: an output that is replaced as the search goes on.

Only what every front end of Jupyter can show is used: an output with an id, and HTML without scripts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from hebbevo.display.wording import line
from hebbevo.messages import printable
from hebbevo.outer.progress import Progress, Watcher

_SECONDS = 0.2  # at least, from one update to the next: a front end is slower than a search that replays


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook. IPython on a terminal is none."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


@contextmanager
def shown_in_notebook() -> Iterator[Watcher]:
    """Give a function that shows each `hebbevo.Progress` below the cell that runs."""
    output = _Output()
    try:
        yield output.show
    finally:
        output.update()


class _Output:
    """What stands below the cell: a bar, a line, and the notices so far."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._updated = 0.0
        self._progress: Progress | None = None
        self._notices: list[str] = []
        self._handle: Any = None

    def show(self, progress: Progress) -> None:
        self._progress = progress
        if progress.notice:
            self._notices.append(printable(progress.notice))
        if progress.notice or time.monotonic() - self._updated >= _SECONDS:
            self.update()

    def update(self) -> None:
        """Bring the output up to date. There is none before the first progress."""
        if self._progress is None:
            return
        self._updated = time.monotonic()
        if self._handle is None:
            from IPython.display import display

            self._handle = display(self, display_id=True)
        else:
            self._handle.update(self)

    def _repr_html_(self) -> str:
        assert self._progress is not None
        notices = "".join(f"<div>{escape(notice)}</div>" for notice in self._notices)
        # without colours of its own, it has those of a light or a dark notebook
        return (
            f'<div style="white-space: pre-wrap"><progress value="{self._progress.trials}" '
            f'max="{self._progress.total}" style="width: 16em; vertical-align: middle"></progress> '
            f"{escape(line(self._progress, self._started))}{notices}</div>"
        )

    def __repr__(self) -> str:
        assert self._progress is not None
        return "\n".join([*self._notices, line(self._progress, self._started)])
