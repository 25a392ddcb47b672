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
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _PLACE, 1, 0)
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise FileLocked from None
            # a file system without locks: the lock file beside it has to do
        yield
    finally:
        os.close(file)
