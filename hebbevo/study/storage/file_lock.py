"""A lock on a file itself, whatever names and links it has; a lock file beside it knows one name only."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PLACE = 2**62  # beyond the bytes that SQLite locks, and beyond the end of any file
_LAYOUT = "hhqqi4x"  # of C's struct flock


class FileLocked(Exception):
    """Another process has locked the file."""


@contextmanager
def locked_itself(path: Path) -> Iterator[None]:
    """Lock a file that exists while the block runs, where the system has locks that belong to an open file.

    The lock ends with the process, even if that is killed. Linux has such locks; elsewhere nothing is locked.

    Raises:
        FileLocked: another process has locked it.
        OSError: the file cannot be opened to write.
    """
    if not hasattr(fcntl, "F_OFD_SETLK"):
        yield
        return
    file = os.open(path, os.O_RDWR)
    try:
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, _lock())
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise FileLocked from None
            # a file system without locks: the lock file beside it has to do
        yield
    finally:
        os.close(file)


def is_locked(path: Path) -> bool | None:
    """Whether a process has locked the file; ``None`` where that cannot be found out.

    Raises:
        OSError: the file cannot be opened.
    """
    if not hasattr(fcntl, "F_OFD_GETLK"):
        return None
    file = os.open(path, os.O_RDONLY)
    try:
        found = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _lock())
    except OSError:
        return None  # a file system without locks
    finally:
        os.close(file)
    kind: int = struct.unpack(_LAYOUT, found)[0]
    return kind != fcntl.F_UNLCK


def _lock() -> bytes:
    """The lock that a search has on its file, as the system calls take it."""
    return struct.pack(_LAYOUT, fcntl.F_WRLCK, os.SEEK_SET, _PLACE, 1, 0)
