"""A comparison as rows of texts, for the page and the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hebbevo.report.formatting import count, number
from hebbevo.study.comparison import Comparison
from hebbevo.study.comparison.verdict import rank_test, t_test

Rows = list[list[str]]
"""A table: the titles of its columns, then its rows."""


def study_rows(comparison: Comparison) -> Rows:
    """A row for each study; the confirmed hypervolume only where a study has one."""
    rows = comparison.studies().to_dict("records")
    confirmed = any(not math.isnan(row["confirmed"]) for row in rows)
    titles = ["study", "group", "seed", "trials", "front", "best", "hypervolume"]
    return [
        titles + ["confirmed"] * confirmed,
        *(
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
        ),
    ]


def group_rows(comparison: Comparison) -> Rows:
    """A row for each group, with its mean hypervolume and the interval."""
    rows = comparison.table().to_dict("records")
    confirmed = any(not math.isnan(row["confirmed"]) for row in rows)
    return [
        ["group", "studies", "hypervolume", "95 %", *["confirmed", "95 %"] * confirmed],
        *(
            [
                row["group"],
                str(row["studies"]),
                _decimals(row["hypervolume"]),
                _interval(row["hypervolume_low"], row["hypervolume_high"]),
                *[_decimals(row["confirmed"]), _interval(row["confirmed_low"], row["confirmed_high"])]
                * confirmed,
            ]
            for row in rows
        ),
    ]


def pair_rows(comparison: Comparison) -> Rows:
    """A row for each two groups; no rows, and no titles, for a single group."""
    kind, by = ("holm", " (Holm)") if len(comparison.groups) > 2 else ("p", "")
    rows: Rows = [
        [
            f"{row['first']} - {row['second']}",
            row["measure"],
            f"{row['difference']:+.4f}",
            _interval(row["low"], row["high"], "+"),
            _test(t_test(row), row[f"t_{kind}"]),
            _test(rank_test(row), row[f"rank_{kind}"]),
        ]
        for row in comparison.pairs().to_dict("records")
    ]
    titles = ["difference", "hypervolume", "by", "95 %", f"t-test{by}", f"rank test{by}"]
    return [titles, *rows] if rows else []


def lead_lines(comparison: Comparison) -> Iterator[str]:
    """Say where the median surface of each group is above another's, one line for each two groups."""
    for (above, below), own in comparison.leads().groupby(["above", "below"], sort=False):
        rows = own.to_dict("records")
        peak = max(rows, key=lambda row: float(row["difference"]))
        difference = peak["difference"]
        most = f"{100 * difference:.2g} points" if comparison.in_percent else number(difference)
        yield (
            f"{above} is ahead of {below} with {' and '.join(map(_range, rows))} {comparison.count}, "
            f"by up to {most} at {count(peak['at'])}"
        )


def _range(row: Mapping[Any, Any]) -> str:
    if math.isinf(row["end"]):
        return f"{count(row['start'])} or more"
    return f"{count(row['start'])} to below {count(row['end'])}"


def _test(name: str, p: float) -> str:
    return "-" if math.isnan(p) else f"p = {p:.2g}, {name}"


def _decimals(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _interval(low: float, high: float, sign: str = "") -> str:
    return "-" if math.isnan(low) else f"{low:{sign}.4f} to {high:{sign}.4f}"
