"""Exporting a network of a study as a file to deploy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hebbevo.cli import completion
from hebbevo.cli.database import database_of
from hebbevo.cli.examples import examples
from hebbevo.cli.options import ALLOW_CODE, QUIET, STORAGE, STUDY
from hebbevo.cli.permission import asking


@click.command(
    epilog=examples(
        "hebbevo export stamina -o digits.onnx",
        "hebbevo export stamina --max-survivors 60 -o digits.pt2",
        "hebbevo export stamina --trial 3 -o digits.safetensors",
    )
)
@STUDY
@STORAGE
@click.option(
    "--trial", type=int, metavar="N", help="The network of this trial.", shell_complete=completion.trials
)
@click.option(
    "--max-survivors", type=float, metavar="K", help="The best network with at most so many survivors."
)
@click.option("--min-accuracy", type=float, metavar="A", help="The smallest network at least so good.")
@click.option("--knee", is_flag=True, help="The network at the bend of the front.  [default]")
@click.option("--confirmed", is_flag=True, help="Choose by confirmed figures.")
@click.option(
    "--retrained",
    is_flag=True,
    help="Export also a network that, trained again, reaches other figures: under its own.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File; its name ends in .pt2, .onnx or .safetensors.",
)
@click.option(
    "--license",
    default="not stated",
    show_default=True,
    metavar="LICENSE",
    help="What the model card says about it.",
)
@ALLOW_CODE
@QUIET
def export(study: str, storage: str | None, output: Path, license: str, quiet: bool, **options: Any) -> None:
    """Write a network of a study as a file to deploy, without what is dead."""
    from hebbevo.cli.exporting import exported, print_export
    from hebbevo.opened_study import open_study

    opened = open_study(study, database_of(study, storage))
    options["allow_code"] = asking(study, options["allow_code"])
    found = exported(opened, output, license, **options)
    if not quiet:
        print_export(found)
