"""Lines of plain text on the terminal."""

from __future__ import annotations

import sys

from hebbevo.messages import printable


def echo(line: object, *, err: bool = False) -> None:
    """Print a line; control characters in it are shown, not obeyed.

    Args:
        line: may hold names, paths and messages that come from files of others.
        err: whether to print on standard error.
    """
    # not by click.echo, which writes UTF-8 where the terminal takes ASCII
    print(printable(line), file=sys.stderr if err else sys.stdout, flush=True)
