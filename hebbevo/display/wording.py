"""What a display shows, and the words beside a progress bar."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol


class Stage(Protocol):
    """Where something stands that trains many networks: a `hebbevo.Progress`, or a confirmation's."""

    @property
    def done(self) -> int:
        """Number of what is finished."""

    @property
    def total(self) -> int:
        """Number to reach."""

    @property
    def noun(self) -> str:
        """What is counted, in the plural."""

    @property
    def counts(self) -> Sequence[str]:
        """What else is worth showing."""

    @property
    def fresh(self) -> int:
        """Number of what was finished since the start."""

    @property
    def seconds_left(self) -> float:
        """Seconds until the timeout; infinite without one."""

    @property
    def notice(self) -> str:
        """A line for the user, or empty."""


def line(stage: Stage, started: float) -> str:
    """How much is finished, and what `details` says, in one line."""
    return f"{stage.done}/{stage.total} {stage.noun}  {details(stage, started)}"


def details(stage: Stage, started: float) -> str:
    """The counts and the estimated time left; ``started`` is the start on the monotonic clock."""
    parts = [*stage.counts]
    if stage.fresh:
        left = (time.monotonic() - started) / stage.fresh * (stage.total - stage.done)
        parts.append(f"{timedelta(seconds=round(min(left, stage.seconds_left)))} left")
    return "  ".join(parts)
