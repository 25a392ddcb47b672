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
    """A row for each two groups, with p of the tests; no rows, and no titles, for a single group."""
    kind = "holm" if len(comparison.groups) > 2 else "p"
    pairs = comparison.pairs().to_dict("records")
    measures = len({row["measure"] for row in pairs}) > 1
    rows: Rows = [
        [
            f"{row['first']} - {row['second']}",
            *[row["measure"]] * measures,
            f"{row['difference']:+.4f}",
            _interval(row["low"], row["high"], "+"),
            str(row["paired_seeds"]) if row["paired_seeds"] else "-",
            _p(row[f"t_{kind}"]),
            _p(row[f"rank_{kind}"]),
        ]
        for row in pairs
    ]
    titles = ["difference", *["hypervolume"] * measures, "by", "95 %", "paired", "t-test", "rank test"]
    return [titles, *rows] if rows else []


def tests_line(comparison: Comparison) -> str:
    """Say which tests the p of `pair_rows` are of; empty for a single group."""
    pairs = comparison.pairs().to_dict("records")
    used = dict.fromkeys((bool(row["paired_seeds"]), t_test(row), rank_test(row)) for row in pairs)
    tests = [
        f"{one} and {other}{' for pairs of the same seed' if is_paired and len(used) > 1 else ''}"
        for is_paired, one, other in used
    ]
    corrected = ", corrected by the method of Holm" if len(comparison.groups) > 2 else ""
    return f"p of the {'; of the '.join(tests)}{corrected}" if tests else ""


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


def _p(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2g}"


def _decimals(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _interval(low: float, high: float, sign: str = "") -> str:
    return "-" if math.isnan(low) else f"{low:{sign}.4f} to {high:{sign}.4f}"
