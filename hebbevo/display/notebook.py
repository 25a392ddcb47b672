"""Progress in a notebook: an output that is replaced again and again.

Only what every front end of Jupyter can show is used: an output with an id, and HTML without scripts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from hebbevo.display.wording import Stage, line
from hebbevo.messages import printable

_SECONDS = 0.2  # at least, from one update to the next: a front end is slower than a search that replays


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook. IPython on a terminal is none."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


@contextmanager
def shown_in_notebook() -> Iterator[Callable[[Stage], None]]:
    """Give a function that shows each stage below the cell that runs."""
    output = _Output()
    try:
        yield output.show
    finally:
        output.finish()


class _Output:
    """What stands below the cell: a bar, a line, and the notices so far."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._updated = 0.0
        self._stage: Stage | None = None
        self._shown: Stage | None = None
        self._notices: list[str] = []
        self._handle: Any = None

    def show(self, stage: Stage) -> None:
        self._stage = stage
        if stage.notice:
            self._notices.append(printable(stage.notice))
        if stage.notice or time.monotonic() - self._updated >= _SECONDS:
            self.update()

    def finish(self) -> None:
        """Show the last stage, if there was one and it is not shown."""
        if self._stage is not self._shown:
            self.update()

    def update(self) -> None:
        """Bring the output up to date."""
        self._updated, self._shown = time.monotonic(), self._stage
        if self._handle is None:
            from IPython.display import display

            self._handle = display(self, display_id=True)
        else:
            self._handle.update(self)

    def _repr_html_(self) -> str:
        assert self._stage is not None
        notices = "".join(f"<div>{escape(notice)}</div>" for notice in self._notices)
        # without colours of its own, it has those of a light or a dark notebook
        # and one without a value moves by itself
        value = f'value="{self._stage.done}" ' if self._stage.done else ""
        return (
            f'<div style="white-space: pre-wrap"><progress {value}'
            f'max="{self._stage.total}" style="width: 16em; vertical-align: middle"></progress> '
            f"{escape(line(self._stage, self._started))}{notices}</div>"
        )

    def __repr__(self) -> str:
        assert self._stage is not None
        return "\n".join([*self._notices, line(self._stage, self._started)])
