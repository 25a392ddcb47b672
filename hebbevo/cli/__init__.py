"""The command line: parse, call, print."""

from hebbevo.cli.entry import main

__all__ = ["main"]
