"""Lines of plain text on the terminal."""

from __future__ import annotations

import click

from hebbevo.messages import printable


def echo(line: object, *, err: bool = False) -> None:
    """Print a line; control characters in it are shown, not obeyed.

    Args:
        line: may hold names, paths and messages that come from files of others.
        err: whether to print on standard error.
    """
    click.echo(printable(line), err=err)
