"""The command line: parse, call, print."""

from hebbevo.cli.commands import main

__all__ = ["main"]
