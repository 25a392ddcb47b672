"""The live progress of a search: a bar on a terminal, plain lines in a file or a pipe."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

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
                line = f"{progress.trials}/{progress.total} trials  {_details(progress, started)}"
                console.print(line, soft_wrap=True)

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
            details = _details(progress, started)
            bar.update(task, completed=progress.trials, total=progress.total, description=details)

        yield update_bar


def _details(progress: Progress, started: float) -> str:
    """Front, hypervolume and estimated time left; ``started`` is the start on the monotonic clock."""
    parts = [
        # one of three counts: all of them do not fit into 80 columns
        f"stopped {progress.stopped}"
        if progress.stopped
        else f"copies {progress.copies}"
        if progress.copies
        else f"generation {progress.generation}",
        f"front {progress.front}",
        f"hypervolume {progress.hypervolume:.4f}",
    ]
    if progress.fresh:
        seconds_per_trial = (time.monotonic() - started) / progress.fresh
        left = seconds_per_trial * (progress.total - progress.trials)
        parts.append(f"{timedelta(seconds=round(min(left, progress.seconds_left)))} left")
    return "  ".join(parts)
