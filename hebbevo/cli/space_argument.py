"""The space of a command, which stands alone or after ``--space``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from hebbevo.cli import completion
from hebbevo.errors import UsageError

_MISSING = (
    "SPACE: missing; write a space file, or the bare name of a shipped one ('hebbevo spaces' lists them)"
)


SPACE_OPTION = click.option(
    "--space",
    "named",
    metavar="SPACE",
    help="The same as SPACE without an option.",
    shell_complete=completion.spaces,
)


def space_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the argument ``space``: a space file, or the bare name of a shipped one."""

    @functools.wraps(command)
    def call(space: str | None, named: str | None, **others: Any) -> None:
        command(space=one_of(space, named), **others)

    with_argument = click.argument("space", required=False, metavar="SPACE", shell_complete=completion.spaces)
    return with_argument(SPACE_OPTION(call))


def one_of(space: str | None, named: str | None, missing: str = _MISSING) -> str:
    """The space of a command.

    >>> one_of("stamina", None), one_of(None, "stamina")
    ('stamina', 'stamina')

    Args:
        space: what stands without an option.
        named: what stands after ``--space``.
        missing: the message where there is neither.

    Raises:
        UsageError: there are both, or neither.
    """
    if space is not None and named is not None:
        raise UsageError(f"--space: {space} is given too, without an option; write one of the two")
    found = named if space is None else space
    if found is None:
        raise UsageError(missing)
    return found
