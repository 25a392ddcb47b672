"""Printing a comparison of studies."""

from __future__ import annotations

import json
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from hebbevo.messages import printable
from hebbevo.report.comparison_files import compare_csv, plain
from hebbevo.report.comparison_tables import Rows, group_rows, lead_lines, pair_rows, study_rows, tests_line
from hebbevo.study.comparison import Comparison


def print_table(comparison: Comparison, console: Console) -> None:
    """Print the studies, their groups, the differences of these, and where each is ahead."""
    for rows in (study_rows(comparison), group_rows(comparison), pair_rows(comparison)):
        if rows:
            console.print(_table(rows))
            console.print()
    if line := tests_line(comparison):
        console.print(line, soft_wrap=True, highlight=False)
    for line in lead_lines(comparison):
        console.print(printable(line), soft_wrap=True, highlight=False)
    console.print(printable(comparison.sentence), soft_wrap=True, highlight=False)


def print_csv(comparison: Comparison, console: Console) -> None:
    """Print the studies as comma-separated values."""
    console.file.write(compare_csv(comparison))


def print_json(comparison: Comparison, console: Console) -> None:
    """Print all tables as one JSON object."""
    console.file.write(json.dumps(plain(comparison), indent=2) + "\n")


PRINT: dict[str, Callable[[Comparison, Console], None]] = {
    "table": print_table,
    "csv": print_csv,
    "json": print_json,
}
"""The formats in which ``hebbevo compare`` prints."""

_OF_TEXTS = ("study", "group", "difference")


def _table(rows: Rows) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in rows[0]:
        if title in _OF_TEXTS:
            table.add_column(title, overflow="fold")
        else:
            table.add_column(title, justify="right", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*map(printable, row))
    return table
