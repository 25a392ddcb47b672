"""Writing a new space file, which replaces none unasked."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import cast

import click

from hebbevo.cli import completion
from hebbevo.cli.echo import echo
from hebbevo.cli.examples import examples
from hebbevo.errors import UsageError

_SUFFIXES = (".yaml", ".yml")


@click.command(
    epilog=examples(
        "hebbevo new mine.yaml --data mine.csv --target label",
        "hebbevo new mine.yaml --data mnist",
        "hebbevo new mine.yaml --data mine.npz --module mine:build",
    )
)
@click.argument("file", metavar="FILE")
@click.option(
    "--data",
    "dataset",
    default="digits",
    show_default=True,
    metavar="DATA",
    help="What is learned.",
    shell_complete=completion.data,
)
@click.option("--target", metavar="COLUMN", help="Column of a table to predict.")
@click.option(
    "--kind", metavar="classification|regression", help="What is predicted.  [default: by the target]"
)
@click.option(
    "--module",
    metavar="MODULE:NAME",
    help="Your function that builds the network; its arguments become genes.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new(
    file: str, dataset: str, target: str | None, kind: str | None, module: str | None, force: bool
) -> None:
    """Write a commented space file that fits your data.

    The data are a table (.csv, .tsv, .parquet), arrays (.npz), the name of a built-in set, or a function of
    yours as package.module:name. Widths, batch size, epochs and trials are such that a search takes minutes.
    """
    from hebbevo import user_code
    from hebbevo.data import Kind
    from hebbevo.paths import expanded
    from hebbevo.spec.new import new_space

    path = expanded(file)
    _check_place(file, path, force)
    if kind not in (None, "classification", "regression"):
        raise UsageError(f"--kind: {kind!r} is not known; write classification or regression")
    if module is not None and not user_code.is_reference(module):
        raise UsageError(f"--module: {module!r} does not name code; write package.module:name of a function")
    space = new_space(path.stem, dataset, target, module, cast(Kind | None, kind))
    _write(file, path, space.text)
    shown = shlex.quote(file)
    echo(f"space   {file}: {space.search}")
    echo(f"data    {dataset}: {space.data}")
    echo(f"next    hebbevo check {shown}")
    echo(f"        hebbevo search {shown}")


def _check_place(file: str, path: Path, force: bool) -> None:
    if path.suffix.lower() not in _SUFFIXES:
        advice = f"write {path.with_suffix('.yaml')}" if path.name else "write a name"
        raise UsageError(f"{file}: a space file ends in .yaml; {advice}")
    if os.path.lexists(path) and not force:
        raise UsageError(f"{file}: is there already; write another name, or --force to replace it")
    if path.is_dir():
        raise UsageError(f"{file}: is a directory; write another name")
    if not path.parent.is_dir():
        raise UsageError(f"{file}: there is no folder {path.parent}; make it, or write another place")


def _write(file: str, path: Path, text: str) -> None:
    """Write a whole file, or none."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UsageError(f"{file}: cannot be written ({error.strerror}); write another place") from error
