"""Who holds a study."""

from __future__ import annotations

import getpass
import os
import socket
from datetime import datetime


def host() -> str:
    """The name of this machine."""
    return socket.gethostname()


def myself() -> str:
    """This process, as it is told to others."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container
        user = str(os.getuid())
    return f"{user}@{host()} (process {os.getpid()})"


def shown(moment: datetime) -> str:
    """A time in UTC, as it is told to others."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def alive(pid: int) -> bool:
    """Whether this machine has such a process; where that cannot be asked, it has none."""
    if os.name == "nt":
        return False  # os.kill would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
