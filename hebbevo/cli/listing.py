"""Printing a list of studies."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from hebbevo.messages import printable
from hebbevo.report.formatting import count
from hebbevo.report.tables import csv

_TITLES = ("trials", "front", "best", "survivors", "hypervolume", "state", "confirmed", "last result (UTC)")


def print_table(studies: pd.DataFrame, console: Console) -> None:
    """Print a line for each study."""
    if studies.empty:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("study", overflow="fold")
    for title in _TITLES:
        justify: Any = "left" if title in ("state", "confirmed") else "right"
        table.add_column(title, justify=justify, no_wrap=True)
    for row in studies.to_dict("records"):
        table.add_row(*map(printable, _cells(row)))
    console.print(table)
    for row in studies[studies["remark"] != ""].to_dict("records"):
        console.print(printable(f"{row['state']}  {row['study']}: {row['remark']}"), soft_wrap=True)


def print_csv(studies: pd.DataFrame, console: Console) -> None:
    """Print the studies as comma-separated values."""
    console.file.write(csv(_with_texts(studies)))


def print_json(studies: pd.DataFrame, console: Console) -> None:
    """Print the studies as a list of JSON objects; ``null`` for what is not known."""
    rows = [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in _with_texts(studies).to_dict("records")
    ]
    console.file.write(json.dumps(rows, indent=2) + "\n")


PRINT: dict[str, Callable[[pd.DataFrame, Console], None]] = {
    "table": print_table,
    "csv": print_csv,
    "json": print_json,
}
"""The formats in which ``hebbevo studies`` prints."""


def _cells(row: dict[Any, Any]) -> list[str]:
    if row["state"] == "damaged":
        return [row["study"], "-", "-", "-", "-", "-", "damaged", "-", "-"]
    known = not math.isnan(row["best_accuracy"])
    return [
        row["study"],
        f"{row['trials']}/{row['total']}",
        str(row["front"]),
        f"{row['best_accuracy']:.4f}" if known else "-",
        count(row["survivors"]) if known else "-",
        f"{row['hypervolume']:.4f}",
        row["state"],
        row["confirmed"],
        "-" if pd.isna(row["last_result"]) else f"{row['last_result']:%Y-%m-%d %H:%M}",
    ]


def _with_texts(studies: pd.DataFrame) -> pd.DataFrame:
    """The studies with times as ISO 8601 has them."""
    times = studies["last_result"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return studies.assign(last_result=times)
