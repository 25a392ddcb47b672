"""Data sets: reading, checking, splitting and standardising them."""

from hebbevo.data.amounts import Label, may_be_amounts
from hebbevo.data.catalogue import BUILT_IN, load, load_labelled
from hebbevo.data.columns import Column
from hebbevo.data.dataset import Dataset, Kind, from_arrays, input_shape, likely_kind
from hebbevo.data.files import FILE_SUFFIXES, TABLE_SUFFIXES, TEXT_SUFFIXES
from hebbevo.data.options import NO_FINDINGS, WHITESPACE, Findings, ReadingOptions
from hebbevo.data.splitting import Split, rounded_away, split
from hebbevo.data.table_format import TableFormat, table_format

__all__ = [
    "BUILT_IN",
    "FILE_SUFFIXES",
    "NO_FINDINGS",
    "TABLE_SUFFIXES",
    "TEXT_SUFFIXES",
    "WHITESPACE",
    "Column",
    "Dataset",
    "Findings",
    "Kind",
    "Label",
    "ReadingOptions",
    "Split",
    "TableFormat",
    "from_arrays",
    "input_shape",
    "likely_kind",
    "load",
    "load_labelled",
    "may_be_amounts",
    "rounded_away",
    "split",
    "table_format",
]
