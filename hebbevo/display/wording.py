"""What a display shows, and the words beside a progress bar."""

from __future__ import annotations

import math
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
        """What else is worth showing, the most important first."""

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


def details(stage: Stage, started: float, width: float = math.inf) -> str:
    """The counts, the rate, and the estimated time left.

    Args:
        stage: where it stands.
        started: the start on the monotonic clock.
        width: most characters; what matters least is left out for it.
    """
    counts, times = list(stage.counts), _times(stage, time.monotonic() - started)
    while len(_joined(counts, times)) > width:
        if len(counts) > 1:
            counts.pop()
        elif len(times) > 1:
            times.pop(0)
        else:
            break
    return _joined(counts, times)


def rate(number: int, seconds: float) -> str:
    """How many are finished in a second, a minute or an hour: the smallest unit in which it is 1 or more.

    >>> rate(30, 12.0), rate(30, 120.0), rate(3, 7200.0)
    ('2.5/s', '15/min', '1.5/h')
    """
    per_second = number / max(seconds, 1e-9)
    for unit, size in (("s", 1.0), ("min", 60.0)):
        if per_second * size >= 1:
            return f"{per_second * size:.3g}/{unit}"
    return f"{per_second * 3600:.3g}/h"


def _times(stage: Stage, seconds: float) -> list[str]:
    """The rate and the time left, or what happens before there is a rate."""
    if not stage.fresh:
        return ["training the first ones"] if stage.done < stage.total else []
    if stage.done >= stage.total:
        return [rate(stage.fresh, seconds), f"in {timedelta(seconds=round(seconds))}"]
    left = min(seconds / stage.fresh * (stage.total - stage.done), stage.seconds_left)
    return [rate(stage.fresh, seconds), f"{timedelta(seconds=round(left))} left"]


def _joined(*parts: Sequence[str]) -> str:
    return "  ".join(text for part in parts for text in part)
