"""Printing the window of a knob: the share of usable trials in each part of it, and the sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from hebbevo.cli.echo import echo
from hebbevo.messages import printable
from hebbevo.report.tables import csv
from hebbevo.study.window import ALL, UsableRange, Window


def print_table(window: Window, console: Console) -> None:
    """Print the shares as a table with a row for each cell, what usable means, and the sentence last.

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
    echo(window.sentence)


def print_csv(window: Window, console: Console) -> None:
    """Print the shares as comma-separated values."""
    console.file.write(csv(window.shares))


def print_json(window: Window, console: Console) -> None:
    """Print the sentence, the ranges and the shares as one JSON object; ``null`` for what is not known."""
    definition = window.definition
    found = {
        "knob": window.knob,
        "by": window.by or None,
        "sentence": window.sentence,
        "usable": {
            "text": definition.text,
            "min_lost": definition.min_lost,
            "within": definition.within,
            "best": _known(definition.best),
        },
        "ranges": [_range(each) for each in window.ranges],
        "shares": [
            {name: _known(value) for name, value in row.items()} for row in window.shares.to_dict("records")
        ],
        "remarks": list(window.remarks),
    }
    console.file.write(json.dumps(found, indent=2) + "\n")


PRINT: dict[str, Callable[[Window, Console], None]] = {
    "table": print_table,
    "csv": print_csv,
    "json": print_json,
}
"""The formats in which ``hebbevo window`` prints."""


def _range(usable: UsableRange) -> dict[str, Any]:
    return {
        "group": usable.group,
        "trials": usable.trials,
        "usable": usable.usable,
        "plateau": _known(usable.plateau),
        "lower": None if usable.lower is None else asdict(usable.lower),
        "upper": None if usable.upper is None else asdict(usable.upper),
    }


def _known(value: Any) -> Any:
    """``None`` for a number that is none."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _share(cell: dict[Any, Any]) -> str:
    """The share of usable trials in a cell, in percent, with its interval; a dash without trials."""
    if not cell["trials"]:
        return "-"
    low, high = (f"{100 * cell[end]:.0f}" for end in ("share_low", "share_high"))
    return f"{100 * cell['share']:.0f} % ({low} to {high})"
