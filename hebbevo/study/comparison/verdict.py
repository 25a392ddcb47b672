"""What a comparison says, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hebbevo.study.comparison.significance import LEVEL

FOUND, CONFIRMED = "found", "confirmed"
MEASURES = {FOUND: "hypervolume", CONFIRMED: "confirmed"}
"""The hypervolumes that are compared, and the column of each in the tables of a comparison."""


def sentence(measure: str, groups: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Say which group has the largest hypervolume, and whether the difference is significant.

    Args:
        measure: ``found`` or ``confirmed``.
        groups: a row for each group, with the columns of `Comparison.table`.
        pairs: a row for each pair of groups, with the columns of `Comparison.pairs`.
    """
    column = MEASURES[measure]
    means = dict(zip(groups["group"], groups[column], strict=True))
    best = max(means, key=lambda name: means[name])
    if len(means) == 1:
        row = groups.iloc[0]
        interval = _interval(row[f"{column}_low"], row[f"{column}_high"])
        what = f"The {row['studies']} studies of {best} have a mean {measure} hypervolume of"
        return f"{what} {means[best]:.4f} ({interval})."
    what = f"{best} has the largest {measure} hypervolume, {means[best]:.4f}"
    own = [_seen_from(best, row) for row in pairs.to_dict("records") if best in (row["first"], row["second"])]
    if all(math.isnan(row["t_p"]) for row in own):
        others = " and ".join(f"{means[row['second']]:.4f} of {row['second']}" for row in own)
        return (
            f"{what} against {others}; too few studies for a test: give each group two or more, "
            "with other seeds."
        )
    if len(own) == 1:
        return f"{what} against {means[own[0]['second']]:.4f} of {own[0]['second']}: {_judgement(own[0])}."
    ahead = [row["second"] for row in own if row["t_holm"] < LEVEL]
    level = [row["second"] for row in own if not row["t_holm"] < LEVEL]
    parts = [f"{_differences(ahead)} significant"] if ahead else []
    parts += [f"{_differences(level)} not significant"] if level else []
    return f"{what}: {'; '.join(parts)} (p corrected for {len(pairs)} pairs)."


def few_seeds(pairs: pd.DataFrame) -> str | None:
    """Say that a rank test has too few studies to find any difference; ``None`` where it has enough."""
    short = [row for row in pairs.to_dict("records") if row["least_rank_p"] > LEVEL]
    if not short:
        return None
    row = max(short, key=lambda row: float(row["least_rank_p"]))
    return (
        f"few seeds: the p of the {rank_test(row)} cannot be below {row['least_rank_p']:.2g} "
        f"for {row['first']} and {row['second']}"
    )


def t_test(row: Mapping[Any, Any]) -> str:
    """The name of the t-test of a pair of groups, given by its row of `Comparison.pairs`."""
    return "paired t-test" if row["paired_seeds"] else "Welch's t-test"


def rank_test(row: Mapping[Any, Any]) -> str:
    """The name of the rank test of a pair of groups, likewise."""
    return "Wilcoxon test" if row["paired_seeds"] else "Mann-Whitney test"


def _differences(names: Sequence[str]) -> str:
    """The differences from these groups, whose names may have commas in them, up to the verb."""
    if len(names) == 1:
        return f"the difference from {names[0]} is"
    return f"the differences from {' and '.join(names)} are"


def _seen_from(name: str, row: dict[Any, Any]) -> dict[Any, Any]:
    """A pair, turned so that this group is the first."""
    if row["first"] == name:
        return row
    turned = {"first": name, "second": row["first"], "difference": -row["difference"]}
    return {**row, **turned, "low": -row["high"], "high": -row["low"]}


def _judgement(row: dict[Any, Any]) -> str:
    by = f" over {row['paired_seeds']} seeds" if row["paired_seeds"] else ""
    verdict = "significant" if row["t_p"] < LEVEL else "not significant"
    interval = _interval(row["low"], row["high"], sign="+")
    return f"{row['difference']:+.4f} ({interval}) is {verdict} ({t_test(row)}{by}, p = {row['t_p']:.2g})"


def _interval(low: float, high: float, sign: str = "") -> str:
    if math.isnan(low):
        return "one study has no interval"
    return f"95 % interval {low:{sign}.4f} to {high:{sign}.4f}"
