"""The display of what Python code starts, unless the code brings its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from hebbevo.display.wording import Stage
from hebbevo.errors import UsageError

S = TypeVar("S", bound=Stage)


class ProgressBar:
    """Shows how far a search is, where it runs; the default of ``watch``.

    In a notebook the bar is below the cell; on a terminal it is the last line. Elsewhere, as in a file or in
    CI, there is none: the logger ``hebbevo`` has notices as warnings, and a line a minute as information.
    """

    def __repr__(self) -> str:
        return "ProgressBar()"

    @contextmanager
    def shown(self) -> Iterator[Callable[[Stage], None]]:
        """Give a function that shows each stage; afterwards what it has shown stays."""
        from hebbevo.display.notebook import is_notebook, shown_in_notebook

        if is_notebook():
            with shown_in_notebook() as show:
                yield show
            return
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console

            from hebbevo.display.terminal import shown_on

            console = Console(stderr=True, markup=False, emoji=False)
            if console.is_terminal:  # the windows of some editors only say that they are one
                with shown_on(console) as show:
                    yield show
                return
        from hebbevo.display.log import logged

        yield logged()


@contextmanager
def watched(watch: Callable[[S], None] | ProgressBar | None) -> Iterator[Callable[[S], None]]:
    """Give the function that receives each stage.

    Args:
        watch: as `hebbevo.search` takes it; ``None`` shows nothing.

    Raises:
        UsageError: ``watch`` is none of what it may be.
    """
    if isinstance(watch, ProgressBar):
        with watch.shown() as show:
            yield show
    elif watch is None:
        yield lambda _: None
    elif callable(watch):
        yield watch
    else:
        raise UsageError(f"watch: {watch!r} cannot be called; write a function, or None for no display")
