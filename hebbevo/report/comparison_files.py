"""Write a comparison: tables, the picture and the page of its attainment surfaces."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from hebbevo.paths import expanded
from hebbevo.report.files import save
from hebbevo.report.tables import csv
from hebbevo.study.comparison import Comparison


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``compare.csv``, ``pairs.csv``, ``attainment.csv``, ``attainment.png`` and ``attainment.html``.

    Args:
        comparison: what to write.
        folder: is made if it is missing; earlier files of these names are replaced.

    Returns:
        The paths of the files, in the order above.

    Raises:
        UsageError: the folder cannot be written or the disk is full.
    """
    # the drawing libraries take a second to import
    from hebbevo.report.attainment_picture import attainment_picture
    from hebbevo.report.comparison_page import comparison_page

    picture = attainment_picture(comparison)
    return save(
        expanded(folder),
        {
            "compare.csv": _encoded(compare_csv(comparison)),
            "pairs.csv": _encoded(csv(comparison.pairs())),
            "attainment.csv": _encoded(csv(comparison.attainment())),
            "attainment.png": picture,
            "attainment.html": _encoded(comparison_page(comparison, picture)),
        },
    )


def compare_csv(comparison: Comparison) -> str:
    """A row for each study, with the mean and the interval of its group beside it."""
    groups = comparison.table().rename(columns=lambda name: name if name == "group" else f"group_{name}")
    return csv(comparison.studies().merge(groups, on="group", how="left"))


def plain(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison as plain data; ``None`` for what is not known, and for no end of a range."""
    return {
        "sentence": comparison.sentence,
        "remarks": list(comparison.remarks),
        "reference": {"accuracy": comparison.chance, comparison.count: comparison.neurons},
        "studies": _rows(comparison.studies()),
        "groups": _rows(comparison.table()),
        "pairs": _rows(comparison.pairs()),
        "leads": _rows(comparison.leads()),
        "attainment": _rows(comparison.attainment()),
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            str(name): None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }
        for row in table.to_dict("records")
    ]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
