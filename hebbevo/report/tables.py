"""Tables as HTML and as comma-separated values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from hebbevo.messages import printable
from hebbevo.report.formatting import html


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts, the first column for the names of the rows. Wide tables scroll."""
    breakable = (html(cell).replace("_", "_<wbr>") for cell in header)
    head = "".join(f'<th scope="col">{cell}</th>' for cell in breakable)
    body = "\n".join(
        f'<tr><th scope="row">{html(first)}</th>'
        + "".join(f"<td>{html(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


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
