"""Running an exported network on rows."""

from __future__ import annotations

from pathlib import Path

import click

from hebbevo.cli.examples import examples


@click.command(
    epilog=examples(
        "hebbevo predict digits.onnx new.npz", "hebbevo predict flowers.pt2 new.csv -o predicted.csv"
    )
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("data", metavar="DATA", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="OUT.csv",
    help="Table to write.  [default: standard output]",
)
def predict(file: Path, data: Path, output: Path | None) -> None:
    """Run an exported network on rows: the class of each and its probabilities, or the value.

    FILE is what hebbevo export wrote. DATA is a table (.csv, .tsv, .parquet) with the columns of the training
    data, or an .npz file with the array x. If the targets are in it, the accuracy is printed.
    """
    from hebbevo.cli.predicting import predicted

    predicted(file, data, output)
