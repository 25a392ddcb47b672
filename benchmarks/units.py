"""Every rule for units, pruned down to the same widths on MNIST, beside dense networks of those widths.

784-300-100-10 is pruned gradually to the widths 12-8, 26-14, 40-20, 71-33 and 120-50; the dense control has
them from the start. Pixels are standardised by one mean and one deviation. All share one recipe: AdamW, 20
epochs in minibatches of 128, 20 events from 5 % to 60 % of the training, then the learning rate falls to
zero. The score is test accuracy after the last epoch, so nothing is chosen by it. `score` is left out: with
its default exponents it is `usage`. CPU seconds are those of whole trainings, of the networks of one cohort
in equal parts.

    HEBBEVO_DATA=FOLDER python benchmarks/units.py [--seeds 5] [--csv units.csv]

The script appends a line for each network to the file, so that it can be stopped and started again. Its table
and picture are made of all lines.
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
from throughput import processor

from hebbevo.data import Split, load, split
from hebbevo.networks import Architecture
from hebbevo.rules import UNITS
from hebbevo.space.knobs import Value
from hebbevo.training import Candidate, Recipe, train

HIDDEN = (300, 100)
WIDTHS = ((12, 8), (26, 14), (40, 20), (71, 33), (120, 50))
BATCH = 128
RECIPE: dict[str, Value] = {
    "learning_rate": 5e-3,
    "learning_rate_warmup": 50,
    "weight_decay": 0.1,
    "settle": 0.4,
}
SCHEDULE: dict[str, Value] = {"schedule": "target", "events": 20}
SLOWER = "dense at 2e-3"
OWN: dict[str, dict[str, Value]] = {  # what a row has beside the shared recipe; all else is as by default
    "l0": {"gate_penalty": 1e-5, "gate_start": 3.0},
    SLOWER: {"learning_rate": 2e-3},  # at 5e-3 a narrow network may lose its only paths in the first steps
}
ROWS = [*(rule for rule in UNITS if rule != "score"), SLOWER]
COLUMNS = ("units", "neurons", "seed", "accuracy", "left", "seconds", "rows", "epochs")


def cohort(
    row: str, widths: Sequence[int], seeds: Sequence[int], data: Split, epochs: int
) -> list[tuple[int, float, int, float]]:
    """Seed, test accuracy, hidden neurons left and CPU seconds of each network of a cohort."""
    rule = row.partition(" ")[0]
    dense = not UNITS[rule].prunes
    network = Architecture("mlp", tuple(widths) if dense else HIDDEN, rule, False, data.shape, 10)
    steps = epochs * -(-len(data.x_train) // BATCH)
    scheduled = {**SCHEDULE, "warmup": steps // 20, "target.1": widths[0], "target.2": widths[1]}
    settings = {**RECIPE, **({} if dense else scheduled), **OWN.get(row, {})}
    recipe = Recipe(network, settings, epochs, BATCH, 0)
    started = time.process_time()
    found = train(recipe, [Candidate({}, seed) for seed in seeds], data, torch.device("cpu"))
    seconds = (time.process_time() - started) / len(seeds)
    for each in found:
        assert each.failure is None, each.failure
        # fewer where units have lost all paths, which no rule regrows here
        assert all(left <= width for left, width in zip(each.layers, widths, strict=True)), each.layers
    return [
        (seed, each.accuracy[-1], sum(each.layers), seconds) for seed, each in zip(seeds, found, strict=True)
    ]


def problem(rows: int, dataset: str = "mnist") -> Split:
    """A data set with so many training rows, and the test rows in the place of validation rows."""
    whole = split(load(dataset), 0, BATCH, standardize=False)
    x = np.concatenate([whole.x_train, whole.x_val])[:rows]
    mean, scale = x.mean(), x.std()
    return replace(
        whole,
        x_train=(x - mean) / scale,
        y_train=np.concatenate([whole.y_train, whole.y_val])[:rows],
        x_val=(whole.x_test - mean) / scale,
        y_val=whole.y_test,
    )


def report(lines: pd.DataFrame, picture: Path | None) -> None:
    """Print the table of all lines, and draw it."""
    by = lines.groupby(["units", "neurons"])["accuracy"]
    mean, sd = by.mean().unstack() * 100, by.std().unstack() * 100
    seconds = lines.groupby("units")["seconds"].mean()
    order = mean.dropna(axis=1).mean(axis=1).sort_values(ascending=False).index  # of cells that all have
    print(f"| units | {' | '.join(map(str, mean.columns))} | CPU s a network |")
    print(f"|{' --- |' * (len(mean.columns) + 2)}")
    for rule in order:
        cells = (
            f"{mean.loc[rule, n]:.2f} ± {sd.loc[rule, n]:.2f}" if pd.notna(mean.loc[rule, n]) else "-"
            for n in mean.columns
        )
        print(f"| {rule} | {' | '.join(cells)} | {seconds[rule]:.0f} |")
    if picture is not None:
        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, panel = pyplot.subplots(figsize=(8, 5), layout="constrained")
        for place, rule in enumerate(order):
            above = mean.loc[rule] - mean.loc[SLOWER]
            is_control = not UNITS[rule.partition(" ")[0]].prunes or rule == "random"
            panel.errorbar(
                [*mean.columns],
                above,
                sd.loc[rule],
                label=rule,
                color=pyplot.colormaps["tab20"](place),
                linestyle="--" if is_control else "-",
                marker="o",
                markersize=3,
                capsize=2,
                linewidth=1,
            )
        panel.set(
            xscale="log", xlabel="hidden neurons left", ylabel=f"test accuracy less that of {SLOWER}, points"
        )
        panel.set_xticks([*mean.columns], map(str, mean.columns))
        panel.set_xticks([], minor=True)
        panel.grid(alpha=0.3)
        panel.set_ylim(-2.5, 2.5)
        panel.legend(ncols=2)
        figure.savefig(picture, dpi=150)


def main() -> None:
    """Train what is not in the file yet, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=55_000, help="training rows")
    parser.add_argument("--rules", nargs="+", default=ROWS)
    parser.add_argument("--csv", type=Path, default=Path("units.csv"))
    parser.add_argument("--picture", type=Path, default=None)
    options = parser.parse_args()
    data = problem(options.rows)
    done = pd.read_csv(options.csv) if options.csv.exists() else pd.DataFrame(columns=COLUMNS)
    seeds = list(range(options.seeds))
    for widths in WIDTHS:
        for rule in options.rules:
            own = done[(done.units == rule) & (done.neurons == sum(widths))]
            if {*own.seed} >= {*seeds}:
                continue
            is_new = not options.csv.exists()
            found = cohort(rule, widths, seeds, data, options.epochs)
            with options.csv.open("a", newline="") as file:
                writer = csv.writer(file)
                if is_new:
                    writer.writerow(COLUMNS)
                rows = len(data.x_train)
                for seed, accuracy, left, seconds in found:
                    numbers = f"{accuracy:.4f}", left, f"{seconds:.1f}"
                    writer.writerow((rule, sum(widths), seed, *numbers, rows, options.epochs))
            print(rule, widths, [f"{accuracy:.4f}" for _, accuracy, *_ in found], flush=True)
    print(f"{processor()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    report(pd.read_csv(options.csv), options.picture)


if __name__ == "__main__":
    main()
