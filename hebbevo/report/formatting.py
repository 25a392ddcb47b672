"""Values as texts for the reader of the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from numbers import Integral
from typing import Any

import pandas as pd

from hebbevo.messages import printable
from hebbevo.study.view import RANDOM, Study

NONE = "\N{EN DASH}"
BEFORE_END = "front, at an earlier epoch"
"""Name of the points on the front that are states before the end of a training."""


def number(value: Any) -> str:
    """A number with four significant digits, below a million without a power of ten; a dash for no value."""
    if value is None or value != value:
        return NONE
    value = float(value)
    if abs(value) < 1e6 and (value.is_integer() or abs(value) >= 1e3):
        return f"{value:.0f}"
    return f"{value:.4g}"


def percent(share: float, digits: int = 1) -> str:
    """A share, 0 to 1, as a percentage; a dash for NaN."""
    return NONE if math.isnan(share) else f"{100 * share:.{digits}f} %"


def score(study: Study, value: float) -> str:
    """A value of the study's score: in percent, or with three decimals; a dash for NaN."""
    return percent(value) if study.in_percent else NONE if math.isnan(value) else f"{value:.3f}"


def accuracy(study: Study, row: dict[str, Any]) -> str:
    """A trial's score, with its standard deviation over replicates if there is one."""
    sd, mean = row["accuracy_sd"], score(study, row["accuracy"])
    return mean if math.isnan(sd) else f"{mean.removesuffix(' %')} ± {score(study, sd)}"


def random_accuracy(study: Study, row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """What a trial reaches with random weights where a local rule learns them; empty if not measured."""
    value = row.get(RANDOM, math.nan)
    return "" if pd.isna(value) else score(study, value)


def beside_random(study: Study, row: dict[str, Any]) -> str:
    """A trial's score, with what it reaches with random weights if that was measured."""
    random = random_accuracy(study, row)
    return accuracy(study, row) + (f" (random weights {random})" if random else "")


def survivors(row: dict[str, Any]) -> str:
    """A trial's surviving neurons, with the standard deviation over replicates if there is one."""
    mean, sd = row["survivors"], row["survivors_sd"]
    return count(mean) if math.isnan(sd) else f"{count(mean)} ± {count(sd)}"


def measured(row: Mapping[str, Any], name: str) -> str:
    """What is counted beside survivors, with the standard deviation over replicates if there is one."""
    mean, sd = row[name], row[f"{name}_sd"]
    return count(mean) if math.isnan(sd) else f"{count(mean)} ± {count(sd)}"


def title(count: str) -> str:
    """What people call a count, as ``multiply-adds``."""
    return count.replace("_", "-")


def share_of(row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """The number of neurons that survivors are of, and the share of them, as ``256 (8.6 %)``."""
    return f"{count(row['neurons'])} ({percent(row['survivors'] / row['neurons'])})"


def count(mean: float) -> str:
    """A mean of counts: without decimals if it is whole, else with one."""
    return f"{mean:.1f}".removesuffix(".0")


def trial_name(study: Study, row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """The number of a trial, and the epoch if the row is a state before the end of the training."""
    epoch, epochs = int(row["epoch"]), study.settings["task"]["epochs"]
    when = f" after {epoch} of {epochs} epochs" if epoch < epochs else ""
    return f"trial {int(row['trial'])}{when}"


def gene_value(value: Any) -> str:
    """A gene's value as in a space file; a dash if the gene is inactive."""
    if isinstance(value, list):
        return f"[{', '.join(map(gene_value, value))}]"
    if pd.isna(value):
        return NONE
    if isinstance(value, str):
        return value
    if type(value).__name__ in ("bool", "bool_"):  # also NumPy's own type
        return str(bool(value)).lower()
    return str(value) if isinstance(value, Integral) else number(value)


def hover(study: Study, row: dict[str, Any]) -> str:
    """The text that a chart shows when the mouse pointer is on a trial, or on a state of it."""
    genome = [
        f"{column.removeprefix('genome.')}: {gene_value(value)}"
        for column, value in row.items()
        if column.startswith("genome.")
    ]
    lines = [
        f"{study.score} {beside_random(study, row)}",
        f"survivors {survivors(row)} of {share_of(row)}",
        *(f"{title(name)} {measured(row, name)}" for name in study.further),
        "",
        *(label(line) for line in genome),
    ]
    return "<br>".join([f"<b>{trial_name(study, row)}</b>", *lines])


def html(text: str) -> str:
    """Escape a text for the page; control characters are shown as escapes."""
    return escape(printable(text))


def label(text: str) -> str:
    """Escape a text for a chart. Plotly reads some HTML, but not the entities for quotes."""
    return escape(printable(text), quote=False)
