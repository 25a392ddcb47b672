"""Printing the window of a knob: the share of usable trials in each part of it, and the sentence."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from hebbevo.messages import printable
from hebbevo.study.window import ALL, Window


def print_shares(window: Window, console: Console) -> None:
    """Print the shares as a table with a row for each cell, and what usable means.

    Groups have columns of their own if there are enough trials to tell them apart.
    """
    groups = [each.group for each in window.ranges] or [ALL]
    table = Table(box=None, pad_edge=False)
    for title in (window.knob, "trials", "usable"):
        table.add_column(printable(title), justify="right", no_wrap=True)
    for group in groups[1:]:
        table.add_column(printable(group), justify="right", no_wrap=True)
    shares = window.shares
    columns = [shares[shares["group"] == group].to_dict("records") for group in groups]
    for cell, *others in zip(*columns, strict=True):
        table.add_row(cell["cell"], str(cell["trials"]), _share(cell), *map(_share, others))
    console.print(table)
    note = f"usable: {window.definition.text}; in brackets 95 % intervals (Wilson)"
    console.print(printable(note), soft_wrap=True)


def _share(cell: dict[Any, Any]) -> str:
    """The share of usable trials in a cell, in percent, with its interval; a dash without trials."""
    if not cell["trials"]:
        return "-"
    low, high = (f"{100 * cell[end]:.0f}" for end in ("share_low", "share_high"))
    return f"{100 * cell['share']:.0f} % ({low} to {high})"
