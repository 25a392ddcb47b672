"""How values are written for a reader."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from hebbevo.report.queries import Study, genes

NONE = "\N{EN DASH}"
EARLIER = "front, at an earlier epoch"


def number(value: Any) -> str:
    """Four significant digits, whole numbers in full, a dash for nothing."""
    if value is None or value != value:
        return NONE
    value = float(value)
    if value.is_integer() and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.4g}"


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage, a dash for nothing."""
    return NONE if math.isnan(share) else f"{100 * share:.{digits}f} %"


def accuracy(row: dict[str, Any]) -> str:
    """A trial's accuracy in percent, with its spread over replicates where there is one."""
    sd = row["accuracy_sd"]
    return percent(row["accuracy"]) if math.isnan(sd) else f"{100 * row['accuracy']:.1f} ± {percent(sd)}"


def survivors(row: dict[str, Any]) -> str:
    """A trial's surviving neurons, with their spread over replicates where there is one."""
    mean, sd = row["survivors"], row["survivors_sd"]
    return count(mean) if math.isnan(sd) else f"{count(mean)} ± {count(sd)}"


def count(mean: float) -> str:
    """A mean count: one decimal where it is not whole."""
    return f"{mean:.1f}".removesuffix(".0")


def named(study: Study, row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """Which trial it is, and after which epoch if that is before the end."""
    epoch, epochs = int(row["epoch"]), study.settings["task"]["epochs"]
    when = f" after {epoch} of {epochs} epochs" if epoch < epochs else ""
    return f"trial {int(row['trial'])}{when}"


def gene_value(value: Any) -> str:
    """A gene's value as the space file would write it; a dash where the gene is inactive."""
    if pd.isna(value):
        return NONE
    if isinstance(value, str):
        return value
    if type(value).__name__ in ("bool", "bool_"):  # numpy's too
        return str(bool(value)).lower()
    return number(value)


def hover(study: Study, row: dict[str, Any]) -> str:
    """What a chart shows beside a trial, or a point of one, under the pointer."""
    genome = [f"{gene}: {gene_value(row['genome.' + gene])}" for gene in genes(study)]
    lines = [
        f"accuracy {accuracy(row)}",
        f"survivors {survivors(row)} of {row['neurons']}",
        f"sparsity {percent(1 - row['survivors'] / row['neurons'])}",
        "",
        *(label(line) for line in genome),
    ]
    return "<br>".join([f"<b>{named(study, row)}</b>", *lines])


def label(text: str) -> str:
    """``text`` for a chart, which reads a little HTML but not the entities of quotes."""
    return escape(text, quote=False)
