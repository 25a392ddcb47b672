"""Data sets: read, checked, split and standardised."""

from hebbevo.data.catalogue import BUILT_IN, load
from hebbevo.data.dataset import Dataset, Label, from_arrays, input_shape
from hebbevo.data.splitting import Split, split

__all__ = ["BUILT_IN", "Dataset", "Label", "Split", "from_arrays", "input_shape", "load", "split"]
