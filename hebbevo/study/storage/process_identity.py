"""How a process that searches a study is named to others."""

from __future__ import annotations

import getpass
import os
import socket
from datetime import datetime


def host_name() -> str:
    """The name of this machine."""
    return socket.gethostname()


def this_process() -> str:
    """This process in words, as ``user@host (process 1234)``."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container
        user = str(os.getuid())
    return f"{user}@{host_name()} (process {os.getpid()})"


def utc_time(moment: datetime) -> str:
    """A time in UTC as text, to the minute.

    >>> utc_time(datetime(2026, 3, 1, 14, 5))
    '2026-03-01 14:05 UTC'
    """
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def is_running(pid: int) -> bool:
    """Whether this machine has a process of this number; ``False`` where it cannot be found out."""
    if os.name == "nt":
        return False  # os.kill would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
