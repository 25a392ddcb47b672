"""Data sets: reading, checking, splitting and standardising them."""

from hebbevo.data.catalogue import BUILT_IN, load
from hebbevo.data.dataset import Dataset, Label, from_arrays, input_shape
from hebbevo.data.files import FILE_SUFFIXES, TABLE_SUFFIXES
from hebbevo.data.splitting import Split, split

__all__ = [
    "BUILT_IN",
    "FILE_SUFFIXES",
    "TABLE_SUFFIXES",
    "Dataset",
    "Label",
    "Split",
    "from_arrays",
    "input_shape",
    "load",
    "split",
]
