"""A worker process that starts early: importing PyTorch takes it more than a second.

While it does, the search reads its space file, its data and its study.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hebbevo import import_path

waiting: list[subprocess.Popen[bytes]] = []
"""The prestarted worker that no executor has taken yet: at most one process."""


def ensure_one() -> None:
    """Start a worker process unless one waits already; more would slow down the start of the search."""
    if not waiting:
        waiting.append(_start())


def take() -> subprocess.Popen[bytes]:
    """Give the worker process that waits, or a new one."""
    return _taken() or _start()


@contextmanager
def discard_unused() -> Iterator[None]:
    """At the end, with or without an error, kill a prestarted worker that no executor has taken."""
    try:
        yield
    finally:
        while unused := _taken():
            with unused as process:
                process.kill()


def _taken() -> subprocess.Popen[bytes] | None:
    """The process that waits, unless there is none or another thread was faster."""
    try:
        return waiting.pop()
    except IndexError:
        return None


def _start() -> subprocess.Popen[bytes]:
    """Start a worker process, which waits for its setup and ends when its input is closed.

    It imports nothing from the current folder: what is there need not belong to the study. The worker adds
    that folder itself where the study names code of the user.
    """
    path = import_path.without_current_folder(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "hebbevo.execution.worker"],  # -P: the current folder is not put first
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches the search only, which lets its workers finish
        # with one hash seed, sets of texts have one order in all workers
        env={"PYTHONHASHSEED": "0", **os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )
