"""The space of a command, which stands alone or after ``--space``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from hebbevo.errors import UsageError

_MISSING = (
    "SPACE: missing; write a space file, or the bare name of a shipped one ('hebbevo spaces' lists them)"
)


def _begun(context: click.Context, parameter: click.Parameter, begun: str) -> list[Any]:
    """Names of shipped spaces, and files, that begin so."""
    from click.shell_completion import CompletionItem

    from hebbevo.spec import shipped

    names = [CompletionItem(name, help="shipped") for name in shipped() if name.startswith(begun)]
    return [*names, CompletionItem(begun, type="file")]


SPACE_OPTION = click.option(
    "--space",
    "named",
    metavar="SPACE",
    help="The same as SPACE without an option.",
    shell_complete=_begun,
)


def space_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the argument ``space``: a space file, or the bare name of a shipped one."""

    @functools.wraps(command)
    def call(space: str | None, named: str | None, **others: Any) -> None:
        command(space=one_of(space, named), **others)

    with_argument = click.argument("space", required=False, metavar="SPACE", shell_complete=_begun)
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
