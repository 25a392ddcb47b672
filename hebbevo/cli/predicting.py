"""The command that runs an exported network on the rows of a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hebbevo.cli.echo import echo
from hebbevo.data.files import read_rows
from hebbevo.deploy.export.interface import PROBABILITIES
from hebbevo.deploy.export.loading import ExportedNetwork, load_exported
from hebbevo.errors import UsageError
from hebbevo.paths import expanded


def predicted(file: Path, data: Path, out: Path | None) -> None:
    """Write what an exported network predicts, and how often it is right where the file has the targets.

    Args:
        file: the exported network.
        data: the rows.
        out: the table to write; ``None`` for standard output.

    Raises:
        UsageError: a file cannot be read or written, or the rows do not fit the network.
    """
    net, data = load_exported(file), expanded(data)
    interface = net.interface
    rows = read_rows(data, interface.columns, interface.target, interface.options, interface.findings)
    outputs = net.outputs(interface.tensor(rows.values, str(data)))
    answers = net.answers(outputs)
    table = _table(net, outputs, answers)
    if out is None:
        table.to_csv(sys.stdout, index=False)
    else:
        _write(table, expanded(out))
        echo(f"file    {out}: {len(table):,} rows")
    if rows.targets is not None and (line := _score(net, rows.targets, answers)):
        echo(line, err=out is None)


def _table(net: ExportedNetwork, outputs: npt.NDArray[Any], answers: npt.NDArray[Any]) -> pd.DataFrame:
    """A row for each row: what is predicted, and the probability of each class."""
    if not net.classes and answers.ndim > 1:
        return pd.DataFrame(answers.reshape(len(answers), -1)).add_prefix("output_")
    table = pd.DataFrame({"predicted": answers})
    if net.interface.output == PROBABILITIES:
        names = [f"probability_{name}" for name in net.classes]
        table = pd.concat([table, pd.DataFrame(outputs, columns=names)], axis=1)
    return table


def _write(table: pd.DataFrame, path: Path) -> None:
    draft = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(draft, index=False)
        draft.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{path}: cannot be written: {reason}; choose another file") from error


def _score(net: ExportedNetwork, targets: npt.NDArray[Any], answers: npt.NDArray[Any]) -> str:
    """How good the answers are, on rows with a target; empty where there are none."""
    known = np.array([target is not None and target == target for target in targets.tolist()], bool)
    right, given = targets[known], answers[known]
    if not len(given):
        return ""
    if net.classes:
        hits = sum(one == other for one, other in zip(right.tolist(), given.tolist(), strict=True))
        return f"accuracy {hits / len(given):.4f}: {hits:,} of {len(given):,} rows"
    try:
        errors = given - right.astype(np.float64)
    except (TypeError, ValueError):
        return "no score: the targets are no numbers"
    spread = float(((right.astype(np.float64) - right.astype(np.float64).mean()) ** 2).mean())
    r2 = f"R2 {1 - float((errors**2).mean()) / spread:.4f}, " if spread else ""
    return f"{r2}mean absolute error {float(np.abs(errors).mean()):.6g}: {len(given):,} rows"
