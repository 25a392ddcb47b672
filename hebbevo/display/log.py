"""Progress in the background: records of Python's logging."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from hebbevo.display.wording import Stage, line
from hebbevo.messages import printable

LOGGER = logging.getLogger("hebbevo")
"""Notices are its warnings. Progress is information, which Python shows only on request."""

_SECONDS = 60.0  # at least, from one line of progress to the next


def logged() -> Callable[[Stage], None]:
    """Make a function that logs notices, the first and the last progress, and one a minute between them."""
    started = time.monotonic()
    last = -math.inf

    def log(stage: Stage) -> None:
        nonlocal last
        if stage.notice:
            LOGGER.warning("%s", printable(stage.notice))
            return
        now = time.monotonic()
        if now - last >= _SECONDS or stage.done == stage.total:
            last = now
            LOGGER.info("%s", line(stage, started))

    return log
