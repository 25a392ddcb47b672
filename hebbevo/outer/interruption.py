"""Ctrl-C during a run: the first one lets the trainings under way finish, the second cancels them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StopAtOnce(KeyboardInterrupt):
    """The third Ctrl-C."""


class Interruption:
    """Counts Ctrl-C, and says what follows.

    Args:
        notify: shows a line to the user.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._count = 0
        self._delayed = ""
        self.interrupt_executor: Callable[[], None] | None = None
        """Makes the executor return soon; called from a signal handler."""

    def __call__(self) -> None:
        """Count one; Python's signal handler calls this.

        Raises:
            StopAtOnce: it is the third one.
        """
        self._count += 1
        if self._count == 1:
            notice = "finishing the trainings under way; Ctrl-C again stops at once"
            try:
                self._notify(notice)
            except RuntimeError:  # the signal came while another line was printed: streams are not reentrant
                self._delayed = notice
        elif self._count > 2:
            raise StopAtOnce
        elif self.interrupt_executor:
            self.interrupt_executor()

    @property
    def has_come(self) -> bool:
        """Whether no more trainings may start."""
        return self._count > 0

    def must_cancel(self) -> bool:
        """Whether to cancel the trainings under way. Shows the notice that could not be shown before."""
        if self._delayed:
            notice, self._delayed = self._delayed, ""
            self._notify(notice)
        return self._count > 1


@contextmanager
def on_interrupt(call: Callable[[], None]) -> Iterator[None]:
    """Call ``call`` on Ctrl-C; outside the main thread Python delivers no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: call())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
