"""How a table that has just been found is probably written."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from hebbevo.data.columns import MAX_FOUND_CATEGORIES
from hebbevo.data.files import TEXT_SUFFIXES, suffix_of
from hebbevo.data.reading import reading

if TYPE_CHECKING:
    import pandas as pd

_MARKS = (",", ";", "\t", "|")
_NUMBER = re.compile(r"[-+]?\d+(,\d+)?")
_BLOCK = 2**20


@dataclass(frozen=True)
class TableFormat:
    """How a table is written, and which of its columns cannot be features as they are.

    Attributes:
        separator: what is between columns; ``None``: what the end of the file's name says.
        decimal: the decimal mark.
        encoding: of a text table.
        names: columns of text with more different texts than are taken for categories.
    """

    separator: str | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    names: tuple[str, ...] = ()


def table_format(path: Path, target: str) -> TableFormat:
    """Guess how a table is written. What is usual is preferred.

    Args:
        path: a text table or a .parquet file.
        target: the name of one of its columns.

    Raises:
        DataError: the file cannot be read.
    """
    import pandas as pd  # slow to import, and other data do not need it

    if suffix_of(path) not in TEXT_SUFFIXES:
        with reading(path, "a .parquet file"), path.open("rb") as file:
            return TableFormat(names=_names(pd.read_parquet(file), target))
    with reading(path, "a .csv file with a header line"):
        encoding = _encoding(path)
        usual = "\t" if ".tsv" in path.name.lower()[-7:] else ","
        separator = _separator(path, encoding, target, usual)
        options = {"sep": separator, "encoding": encoding, "index_col": False}
        start = pd.read_csv(path, nrows=1000, dtype=str, **options)  # type: ignore[call-overload]
        decimal = "," if separator != "," and any(map(_has_comma, _columns(start))) else "."
        table = pd.read_csv(path, decimal=decimal, low_memory=False, **options)  # type: ignore[call-overload]
        given = None if separator == usual else separator
        return TableFormat(given, decimal, encoding, _names(table, target))


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _encoding(path: Path) -> str:
    """UTF-8, or what every file can be read with."""
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")()
    with _open(path) as file:
        try:
            while block := file.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"


def _separator(path: Path, encoding: str, target: str, usual: str) -> str:
    """The mark at which the header line has the name of the target between two marks."""
    with _open(path) as file:
        header = file.readline().decode(encoding).removeprefix("\ufeff")
    for mark in (usual, *_MARKS):
        if target in next(csv.reader([header], delimiter=mark), []):
            return mark
    return usual


def _columns(table: pd.DataFrame) -> Iterator[pd.Series[str]]:
    return (table.iloc[:, place].dropna() for place in range(table.shape[1]))


def _has_comma(cells: pd.Series[str]) -> bool:
    """Whether texts are numbers with a decimal comma."""
    texts: Sequence[str] = [text.strip() for text in cells]
    return all(map(_NUMBER.fullmatch, texts)) and any("," in text for text in texts)


def _names(table: pd.DataFrame, target: str) -> tuple[str, ...]:
    """The columns with too many different texts to be categories."""
    import pandas as pd

    found = []
    for column, cells in zip(map(str, table.columns), _columns(table), strict=True):
        if column == target or pd.api.types.is_numeric_dtype(cells.dtype):
            continue
        texts = cells.tolist()
        if not all(isinstance(text, str) for text in texts) or len({*texts}) <= MAX_FOUND_CATEGORIES:
            continue
        if not pd.to_numeric(cells.astype(object), errors="coerce").notna().any():
            found.append(column)
    return tuple(found)
