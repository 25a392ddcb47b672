"""Examples below a help text."""

from __future__ import annotations


def examples(*commands: str) -> str:
    r"""Give the end of a help text that shows commands, one a line.

    >>> examples("hebbevo spaces").splitlines()[1:]
    ['Examples:', '  hebbevo spaces']
    """
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])
