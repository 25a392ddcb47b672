"""Exported networks, read again. No code of a file is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hebbevo.data import Label
from hebbevo.data.preprocessing import ROWS_AT_A_TIME
from hebbevo.deploy.export.formats import FORMATS, Format
from hebbevo.deploy.export.interface import PROBABILITIES, Interface
from hebbevo.errors import HebbevoError, UsageError
from hebbevo.messages import first_line, listed
from hebbevo.paths import expanded

if TYPE_CHECKING:
    from hebbevo.deploy.export.formats.format import Run


class ExportedNetwork:
    """A network from a file. `predict` and `predict_proba` work as in scikit-learn, and also take tables.

    Attributes:
        interface: what it takes and gives.
        classes: names of the outputs; none for a regression.
        card: its model card, as text.
        facts: the facts of the card, as plain data.
    """

    def __init__(self, run: Run, texts: Mapping[str, str]) -> None:
        self.interface = Interface.from_json(texts["interface"])
        self.classes: tuple[Label, ...] = self.interface.classes
        self.card: str = texts["card"]
        self.facts: dict[str, Any] = json.loads(texts["facts"])
        self._run = run

    def __repr__(self) -> str:
        return f"ExportedNetwork({self.card.partition(chr(10))[0].removeprefix('# ')!r})"

    def outputs(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run the network on its tensor, as `Interface.tensor` makes it."""
        if not len(rows):
            return np.empty((0, len(self.classes) or 1))
        starts = range(0, len(rows), ROWS_AT_A_TIME)
        return np.concatenate([self._run(rows[start : start + ROWS_AT_A_TIME]) for start in starts])

    def predict_proba(self, rows: Any) -> npt.NDArray[Any]:
        """The probability of each class, shape (rows, classes).

        Args:
            rows: an array as the data set has it, shape (rows, ...); for a table a DataFrame or a mapping of
                columns.

        Raises:
            DataError: a column or a value is missing, a category is unknown, or the shape is another.
            UsageError: it gives no probabilities.
        """
        if self.interface.output != PROBABILITIES:
            raise UsageError(f"predict_proba: the network gives {self.interface.output}; call predict")
        return self.outputs(self.interface.tensor(rows))

    def predict(self, rows: Any) -> npt.NDArray[Any]:
        """The most probable class of each row, as the data set names it; of a regression the amount.

        Takes rows as `predict_proba`.
        """
        return self.answers(self.outputs(self.interface.tensor(rows)))

    def answers(self, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What outputs say: classes, or amounts."""
        if not self.classes:
            return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs
        found: npt.NDArray[Any] = np.array(self.classes)[outputs.argmax(1)]
        return found


def format_of(path: Path) -> Format:
    """The format that the end of a file's name says.

    Raises:
        UsageError: there is none, or its packages are not installed.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise UsageError(f"{path}: its name says no format; end it in {listed(FORMATS)}")
    found.require(path)
    return found


def load_exported(path: str | Path) -> ExportedNetwork:
    """Load a network that `export` wrote. It runs no code of the file.

    Args:
        path: ends in .pt2, .onnx or .safetensors.

    Raises:
        UsageError: there is no such file, it was not made by hebbevo, or a package for it is missing.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> import hebbevo
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> rows = torch.randn(10, 4)
        >>> _ = hebbevo.export(net, "net.safetensors", rows)
        >>> hebbevo.load_exported("net.safetensors").predict(rows).shape
        (10, 3)
    """
    path = expanded(path)
    format_ = format_of(path)
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file; write one with 'hebbevo export'")
    try:
        return ExportedNetwork(*format_.load(path))
    except HebbevoError:
        raise
    except KeyError as error:
        what = f"was not written by hebbevo (it has no {first_line(error)})"
        raise UsageError(f"{path}: {what}; write it with 'hebbevo export'") from error
    except Exception as error:  # of a damaged file a parser may raise any
        what = f"cannot be read ({first_line(error) or type(error).__name__})"
        raise UsageError(f"{path}: {what}; export it again") from error
