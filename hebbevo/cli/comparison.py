"""Printing a comparison of studies."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from hebbevo.messages import printable
from hebbevo.report.comparison_files import compare_csv, plain
from hebbevo.report.formatting import count, number
from hebbevo.study.comparison import Comparison
from hebbevo.study.comparison.verdict import rank_test, t_test


def print_table(comparison: Comparison, console: Console) -> None:
    """Print the studies, their groups, the differences of these, and where each is ahead."""
    _print(console, _studies(comparison))
    _print(console, _groups(comparison))
    pairs = comparison.pairs().to_dict("records")
    if pairs:
        _print(console, _pairs(pairs, len(comparison.groups) > 2))
    for line in lead_lines(comparison):
        console.print(printable(line), soft_wrap=True)
    if pairs:
        console.print()
    console.print(printable(comparison.sentence), soft_wrap=True)


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


def lead_lines(comparison: Comparison) -> Iterable[str]:
    """Say where the median surface of each group is above another's, one line for each two groups."""
    leads = comparison.leads()
    for (above, below), own in leads.groupby(["above", "below"], sort=False):
        ranges = " and ".join(_range(row) for row in own.to_dict("records"))
        peak = max(own.to_dict("records"), key=lambda row: float(row["difference"]))
        difference = peak["difference"]
        most = f"{100 * difference:.2g} points" if comparison.in_percent else number(difference)
        yield (
            f"{above} is ahead of {below} with {ranges} {comparison.count}, "
            f"by up to {most} at {count(peak['at'])}"
        )


def _range(row: Mapping[Any, Any]) -> str:
    if math.isinf(row["end"]):
        return f"{count(row['start'])} or more"
    return f"{count(row['start'])} to below {count(row['end'])}"


def _studies(comparison: Comparison) -> Table:
    rows = comparison.studies().to_dict("records")
    confirmed = any(not math.isnan(row["confirmed"]) for row in rows)
    return _table(
        ["study", "group", "seed", "trials", "front", "best", "hypervolume", *["confirmed"] * confirmed],
        [
            [
                row["study"],
                row["group"],
                str(row["seed"]),
                f"{row['trials']}/{row['total']}",
                str(row["front"]),
                _decimals(row["best_accuracy"]),
                _decimals(row["hypervolume"]),
                *[_decimals(row["confirmed"])] * confirmed,
            ]
            for row in rows
        ],
    )


def _groups(comparison: Comparison) -> Table:
    rows = comparison.table().to_dict("records")
    confirmed = any(not math.isnan(row["confirmed"]) for row in rows)
    return _table(
        ["group", "studies", "hypervolume", "95 %", *["confirmed", "95 %"] * confirmed],
        [
            [
                row["group"],
                str(row["studies"]),
                _decimals(row["hypervolume"]),
                _interval(row["hypervolume_low"], row["hypervolume_high"]),
                *[_decimals(row["confirmed"]), _interval(row["confirmed_low"], row["confirmed_high"])]
                * confirmed,
            ]
            for row in rows
        ],
    )


def _pairs(rows: Sequence[Mapping[Any, Any]], corrected: bool) -> Table:
    kind, by = ("holm", " (Holm)") if corrected else ("p", "")
    return _table(
        ["difference", "hypervolume", "by", "95 %", f"t-test{by}", f"rank test{by}"],
        [
            [
                f"{row['first']} - {row['second']}",
                row["measure"],
                f"{row['difference']:+.4f}",
                _interval(row["low"], row["high"], "+"),
                _test(t_test(row), row[f"t_{kind}"]),
                _test(rank_test(row), row[f"rank_{kind}"]),
            ]
            for row in rows
        ],
    )


def _test(name: str, p: float) -> str:
    return "-" if math.isnan(p) else f"p = {p:.2g}, {name}"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        text = title in ("study", "group", "difference") or "test" in title
        table.add_column(title, justify="left" if text else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    return table


def _print(console: Console, table: Table) -> None:
    console.print(table)
    console.print()


def _decimals(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _interval(low: float, high: float, sign: str = "") -> str:
    return "-" if math.isnan(low) else f"{low:{sign}.4f} to {high:{sign}.4f}"
