"""Printing a list of studies."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from hebbevo.messages import printable
from hebbevo.report.formatting import count
from hebbevo.report.tables import csv

_TITLES = ("trials", "front", "best", "survivors", "hypervolume", "state", "confirmed", "last result (UTC)")
_LEFT_OUT = ((), ("front", "survivors"), ("front", "survivors", "last result (UTC)"))
"""Columns that are left out, where all of them are too wide for the console."""


def print_table(studies: pd.DataFrame, console: Console) -> None:
    """Print a line for each study, without some columns if the console is too narrow for them."""
    if studies.empty:
        return
    rows = studies.to_dict("records")
    for left_out in _LEFT_OUT:
        table = _table(rows, left_out)
        widest = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
        if widest <= console.width:
            break
    console.print(table)
    for row in rows:
        if row["remark"]:
            line = f"{row['state']}  {row['study']}: {row['remark']}"
            console.print(printable(line), soft_wrap=True, highlight=False)
    if left_out:
        console.print("more columns  --format csv", soft_wrap=True, highlight=False)


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


def _table(rows: Sequence[Mapping[Any, Any]], left_out: Collection[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("study", overflow="fold")
    shown = [title for title in _TITLES if title not in left_out]
    for title in shown:
        justify: Any = "left" if title in ("state", "confirmed") else "right"
        table.add_column(title, justify=justify, no_wrap=True)
    for row in rows:
        cells = dict(zip(_TITLES, _cells(row), strict=True))
        table.add_row(printable(row["study"]), *(printable(cells[title]) for title in shown))
    return table


def _cells(row: Mapping[Any, Any]) -> list[str]:
    if row["state"] == "damaged":
        return ["-", "-", "-", "-", "-", "damaged", "-", "-"]
    known = not math.isnan(row["best_accuracy"])
    return [
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
