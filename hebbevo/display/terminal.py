"""The live progress of a search: a bar on a terminal, plain lines in a file or a pipe."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from hebbevo.display.wording import details, line
from hebbevo.messages import printable
from hebbevo.outer.progress import Progress, Watcher

_MAX_LINES = 40  # of progress in a file or a pipe


@contextmanager
def shown_on(console: Console) -> Iterator[Watcher]:
    """Give a function that shows each `hebbevo.Progress` on ``console``, which takes no text as markup."""
    started = time.monotonic()
    if not console.is_terminal:
        shown = -math.inf  # number of trials in the last line

        def print_line(progress: Progress) -> None:
            nonlocal shown
            if progress.notice:
                console.print(printable(progress.notice), soft_wrap=True)
            elif progress.trials - shown >= progress.total / _MAX_LINES or progress.trials == progress.total:
                shown = progress.trials
                console.print(line(progress, started), soft_wrap=True)

        yield print_line
        return
    columns = (
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("trials  {task.description}", markup=False),
    )
    with Bar(*columns, console=console, expand=True) as bar:
        task = bar.add_task("starting", total=None)

        def update_bar(progress: Progress) -> None:
            if progress.notice:
                bar.console.print(printable(progress.notice), soft_wrap=True)
            text = details(progress, started)
            bar.update(task, completed=progress.trials, total=progress.total, description=text)

        try:
            yield update_bar
        finally:
            if bar.tasks[0].total is None:  # nothing was left to do, or an error came first
                bar.update(task, visible=False)
