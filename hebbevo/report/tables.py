"""Tables as HTML and as comma-separated values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from hebbevo.messages import printable
from hebbevo.report.templates import render


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """A table of plain texts, the first column for the names of the rows. Wide tables scroll."""
    return render("table", header=list(header), rows=[list(row) for row in rows])


def csv(frame: pd.DataFrame) -> str:
    """Write a frame as comma-separated values, for a spreadsheet, a program or a terminal.

    Control characters in texts are written as escapes. A text that a spreadsheet would take for a formula
    gets an apostrophe in front.
    """
    texts = frame.rename(columns=_cell)
    for place, kind in enumerate(texts.dtypes):
        if pd.api.types.is_object_dtype(kind) or pd.api.types.is_string_dtype(kind):
            texts.isetitem(place, texts.iloc[:, place].map(_cell).array)
    return texts.to_csv(index=False, lineterminator="\n")


def _cell(value: Any) -> Any:
    """A value as it stands in a cell; what is no text stays as it is."""
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) and not _is_number(shown) else shown


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
