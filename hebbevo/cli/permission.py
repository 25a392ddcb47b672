"""Permission to import the user's own code that a study names."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from hebbevo.messages import printable


def asking(study: str, allow_code: bool) -> Callable[[list[str]], bool]:
    """The function that decides whether the user's own code may be imported: it asks on a terminal."""

    def is_allowed(code: list[str]) -> bool:
        question = printable(f"{study} runs your own code: {', '.join(code)}. Import it?")
        return allow_code or (sys.stdin.isatty() and click.confirm(question, err=True))

    return is_allowed
