"""The command that exports a network: its choice, and the table of its sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from hebbevo.cli.console import output
from hebbevo.cli.echo import echo
from hebbevo.deploy.export.exporting import Export, export
from hebbevo.deploy.export.loading import format_of
from hebbevo.errors import UsageError
from hebbevo.messages import listed
from hebbevo.opened_study import Study
from hebbevo.paths import expanded

_TITLES = {
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "bytes": "bytes",
    "microseconds_1_row": "microseconds, 1 row",
    "microseconds_64_rows": "microseconds, 64 rows",
}


def exported(
    study: Study,
    path: Path,
    license: str,
    *,
    trial: int | None,
    max_survivors: float | None,
    min_accuracy: float | None,
    knee: bool,
    confirmed: bool,
    retrained: bool,
    allow_code: bool | Callable[[list[str]], bool],
) -> Export:
    """Choose a network of a study and write it.

    Args:
        study: the study.
        path: where to write it.
        license: what the model card says about it.
        trial: number of the trial to take.
        max_survivors: take the best network with at most so many survivors.
        min_accuracy: take the smallest network at least so good.
        knee: take the one at the bend of the front, which is the default.
        confirmed: choose by confirmed figures.
        retrained: export a network that reaches other figures than those recorded, with its own figures.
        allow_code: whether to import the user's own code that the study names.

    Raises:
        UsageError: options exclude each other, or there is no such network.
    """
    choices = {
        "--trial": trial is not None,
        "--max-survivors": max_survivors is not None,
        "--min-accuracy": min_accuracy is not None,
        "--knee": knee,
    }
    given = [flag for flag, is_given in choices.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"{listed(given)}: give one of them")
    format_of(expanded(path))  # before a training
    net = study.champion(
        trial, max_survivors, min_accuracy, confirmed, retrained=retrained, allow_code=allow_code
    )
    return export(net, path, license=license)


def print_export(found: Export) -> None:
    """Print the sizes of a network before and after, and where its files are."""
    print_sizes(found.sizes(), output())
    for layer, why in found.left.items():
        echo(f"not cut {layer}: {why}", err=True)
    file, *others = found.files
    for path in found.files:
        echo(f"{'card' if path.suffix == '.md' else 'module' if path in others else 'file':<7} {path}")
    echo(f"check   hebbevo predict {file} DATA")


def print_sizes(sizes: pd.DataFrame, console: Console) -> None:
    """Print a table with a row for each measure, before and after."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for when in sizes.index:
        table.add_column(str(when), justify="right")
    for name, title in _TITLES.items():
        table.add_row(title, *(f"{each:,.1f}".removesuffix(".0") for each in sizes[name]))
    console.print(table)
    console.print("latency on one thread; before: the network with its masks in PyTorch", soft_wrap=True)
