"""What a format of exported networks is: a function that writes a file, and one that reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from hebbevo.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

Run = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""Runs a network that was loaded: rows, of the type and shape that it takes, to its outputs."""


@dataclass(frozen=True)
class Format:
    """A format of exported networks.

    Attributes:
        needs: packages without which it can be neither written nor read.
        write: writes a file with (program, rows that it takes, name of its output, texts to keep in it), and
            gives the files that are to be beside it, as texts by suffix.
        load: reads a file: what runs it, and the texts in it. Runs no code of the file.
    """

    needs: tuple[str, ...]
    write: Callable[[Path, ExportedProgram, Tensor, str, Mapping[str, str]], Mapping[str, str]]
    load: Callable[[Path], tuple[Run, Mapping[str, str]]]

    def require(self, path: Path) -> None:
        """Check that its packages are installed.

        Args:
            path: the file that is wanted, for the message.

        Raises:
            UsageError: one is missing.
        """
        if absent := [name for name in self.needs if find_spec(name) is None]:
            what = f"needs {' and '.join(absent)}"
            raise UsageError(f"{path}: {what}; install it with: pip install 'hebbevo[export]'")
