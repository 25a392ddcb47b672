"""The end of what Ray has started on this machine: soon after that of the search, however that ended.

Ray ends its processes itself, but not always: if a search is killed while one of its workers is stopped, two
agents of Ray stay for good. So a small process waits for the end of the search. What then still runs with the
mark that Ray's processes inherit, it kills.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MARK = "HEBBEVO_RAY_GUARD"
_ASKED = b"end"  # what the guard reads from a search that ends by itself
_OWN_TIME = 0.7  # seconds that Ray has to end its processes itself
_GIVE_UP = 4.0  # seconds after which the guard ends in any case


@contextmanager
def guarding() -> Iterator[subprocess.Popen[bytes] | None]:
    """Start a guard; it guards the processes that are started within the block, and what they start.

    Close its input to let it act. The system does so when this process ends. ``None`` where the environment
    of processes cannot be read, which is everywhere but on Linux.
    """
    if sys.platform != "linux":
        yield None
        return
    mark = uuid.uuid4().hex
    guard = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a signal to the group of the search does not reach it
    )
    os.environ[_MARK] = mark
    try:
        yield guard
    except BaseException:
        guard.communicate()  # not asked to end: a process may have been about to start
        raise
    finally:
        del os.environ[_MARK]


def release(guard: subprocess.Popen[bytes] | None) -> None:
    """Let a guard act, and wait for its end."""
    if guard is not None:
        guard.communicate(_ASKED)


def main() -> None:
    """Wait for the end of the input, then for the end of all marked processes; kill those that stay."""
    is_asked = bool(sys.stdin.buffer.read())
    mark, began = sys.argv[1], time.monotonic()
    while (waited := time.monotonic() - began) < _GIVE_UP:
        found = _marked(mark)
        # a search that was killed may have begun to start a process, which has no mark yet
        if not found and (is_asked or waited > _OWN_TIME):
            return
        for pid in found if waited > _OWN_TIME else ():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _marked(mark: str) -> list[int]:
    """Processes that have inherited the mark and run; one that has ended has no environment."""
    entry = f"{_MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


if __name__ == "__main__":
    main()
