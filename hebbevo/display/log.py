"""The progress of a search that runs in the background: records of Python's logging."""

from __future__ import annotations

import logging
import math
import time

from hebbevo.display.wording import line
from hebbevo.messages import printable
from hebbevo.outer.progress import Progress, Watcher

LOGGER = logging.getLogger("hebbevo")
"""Notices are its warnings. Progress is information, which Python shows only on request."""

_SECONDS = 60.0  # at least, from one line of progress to the next


def logged() -> Watcher:
    """Make a function that logs notices, the first and the last progress, and one a minute between them."""
    started = time.monotonic()
    last = -math.inf

    def log(progress: Progress) -> None:
        nonlocal last
        if progress.notice:
            LOGGER.warning("%s", printable(progress.notice))
            return
        now = time.monotonic()
        if now - last >= _SECONDS or progress.trials == progress.total:
            last = now
            LOGGER.info("%s", line(progress, started))

    return log
