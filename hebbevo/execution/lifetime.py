"""The end of a worker process: at once after that of the search, with all processes that it has started."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # of Linux: the signal that a process gets when its parent ends


def end_with_parent() -> None:
    """Let the system kill this process when its parent ends, even if it is stopped or in a long operation.

    Only Linux offers this. It concerns the thread of the parent that has started this process.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def end_with_group() -> None:
    """Let all processes of this process's group end when it ends, however it ends.

    A small process waits for the end of this one. Call this in a process that leads a group, before it has
    started threads.
    """
    if os.getpgrp() != os.getpid():
        return
    watched, held = os.pipe()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os.close(watched)
        # a child process that holds this end, too, would keep it open; exec closes it
        os.register_at_fork(after_in_child=lambda: os.close(held))
        return
    try:
        if os.fork() == 0:  # the parent ends, so that the user's code finds no child of this process
            os.dup2(watched, 0)
            os.closerange(1, max(watched, held) + 1)
            os.read(0, 1)
            os.killpg(0, signal.SIGKILL)
    finally:
        os._exit(0)
