"""The words beside a progress bar."""

from __future__ import annotations

import time
from datetime import timedelta

from hebbevo.outer.progress import Progress


def line(progress: Progress, started: float) -> str:
    """Finished trials, and what `details` says, in one line."""
    return f"{progress.trials}/{progress.total} trials  {details(progress, started)}"


def details(progress: Progress, started: float) -> str:
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
