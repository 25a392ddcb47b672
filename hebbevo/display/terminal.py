"""Live progress: a spinner and a bar on a terminal, plain lines in a file or a pipe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from hebbevo.display.wording import Stage, details, line
from hebbevo.messages import printable

_MAX_LINES = 40  # of progress in a file or a pipe
_NARROWEST_BAR = 8


@contextmanager
def shown_on(console: Console) -> Iterator[Callable[[Stage], None]]:
    """Give a function that shows each stage on ``console``, which takes no text as markup."""
    started = time.monotonic()
    if not console.is_terminal:
        shown = -math.inf  # the number in the last line

        def print_line(stage: Stage) -> None:
            nonlocal shown
            if stage.notice:
                console.print(printable(stage.notice), soft_wrap=True)
            elif stage.done - shown >= stage.total / _MAX_LINES or stage.done == stage.total:
                shown = stage.done
                console.print(line(stage, started), soft_wrap=True)

        yield print_line
        return
    columns = (
        # of plain characters where the terminal has no others
        SpinnerColumn("line" if console.options.ascii_only else "dots", finished_text=" "),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Bar(*columns, console=console, expand=True) as bar:
        task = bar.add_task("starting", total=None)

        def update_bar(stage: Stage) -> None:
            if stage.notice:
                bar.console.print(printable(stage.notice), soft_wrap=True)
            begun = len(f"  {stage.total}/{stage.total} {stage.noun}  ") + _NARROWEST_BAR
            text = f"{stage.noun}  {details(stage, started, console.width - begun)}"
            bar.update(task, completed=stage.done, total=stage.total, description=text)

        try:
            yield update_bar
        finally:
            if bar.tasks[0].total is None:  # nothing was left to do, or an error came first
                bar.update(task, visible=False)
