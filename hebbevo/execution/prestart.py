"""Worker processes that start before their job is known: importing PyTorch takes them a second."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_waiting: list[subprocess.Popen[bytes]] = []


def start() -> subprocess.Popen[bytes]:
    """Start a worker process, which waits for its job and ends with its input."""
    return subprocess.Popen(
        [sys.executable, "-m", "hebbevo.execution.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the search, which lets its workers finish
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def start_one() -> None:
    """See to it that one is waiting; more would keep the search itself from getting ready."""
    if not _waiting:
        _waiting.append(start())


def take() -> subprocess.Popen[bytes]:
    """Give the one that is waiting, or a new one."""
    try:
        return _waiting.pop()
    except IndexError:
        return start()


@contextmanager
def none_left() -> Iterator[None]:
    """End who is still waiting afterwards, however it ends."""
    try:
        yield
    finally:
        while _waiting:
            with _waiting.pop() as process:
                process.kill()
