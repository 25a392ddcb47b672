"""The command line as a process of its own, which ends with it."""

from __future__ import annotations

import atexit
import os
import sys

from hebbevo import garbage
from hebbevo.cli import commands


def main() -> None:
    """Run the command line, and end this process."""
    garbage.collect_rarely()
    try:
        commands.main()
    except SystemExit as ended:
        if ended.code == commands.INTERRUPTED and "ray" in sys.modules:
            _end_before_teardown(commands.INTERRUPTED)
        raise


def _end_before_teardown(code: int) -> None:
    """End this process after its exit functions.

    Ray's native code may crash while Python frees what an interruption has left in use.
    """
    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)
