"""Every rule for connections on MNIST, from all connections left down to 1 %, beside dense networks.

784-300-100-10 has 266,200 connections. Of these 50, 20, 10, 5, 2 and 1 % are left at the end of the training
(rules that prune) or from its first step on (rules that rewire). Layers share them as Erdos-Renyi has it
(`distribution: global_erk`). The control "dense" has as many parameters as the others have connections left:
it is 784-3h-h-10, with the h that comes nearest. All share the recipe of `benchmarks/units.py`: AdamW, 20
epochs in minibatches of 128, events up to 60 % of the training, then the learning rate falls to zero. The
score is test accuracy after the last epoch, so nothing is chosen by it.

- Rules that rewire have an event every 100 steps, at which 30 % of the connections change places.
- Under `iterative_magnitude` five rounds prune each layer to the density that the others have there; the
  output layer has that of the last hidden layer. "lottery" sets weights back to those after the first epoch.
- "cosine" is followed by the name of a published algorithm, or by what lets connections enter and leave.
- `hebb_mask` has no density. It has a threshold for each column, and the table has what is left.
- Connections left are counted on live paths.

    HEBBEVO_DATA=FOLDER python benchmarks/rewiring.py [--seeds 5] [--csv rewiring.csv]

The script appends a line for each network to the file, so that it can be stopped and started again. Its table
and picture are made of all lines.
"""

from __future__ import annotations

import argparse
import csv
import math
import platform
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import pandas as pd
import torch
from throughput import processor
from units import BATCH, HIDDEN, RECIPE, problem

from hebbevo.data import Split
from hebbevo.networks import Architecture
from hebbevo.rules import CONNECTIONS
from hebbevo.rules.connections.cosine import AT_RANDOM, BY_COSINE, HIGHEST, PROBABLE, VARIANTS
from hebbevo.rules.connections.density import DISTRIBUTIONS, GLOBAL_ERK, shares
from hebbevo.space.knobs import Value
from hebbevo.training import Candidate, Recipe, train

WIDTHS = (784, *HIDDEN, 10)
ALL = sum(a * b for a, b in pairwise(WIDTHS))
DENSITIES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
THRESHOLDS = dict(zip(DENSITIES, (-1.0, 0.28, 0.37, 0.43, 0.48, 0.52, 0.56), strict=True))
ROUNDS = 5
DENSE, LOTTERY = "dense", "lottery"
# what a row has beside the shared recipe; all else is as by default
OWN: dict[str, dict[str, Value]] = (
    {
        f"cosine {name}": {**knobs}
        for name, knobs in VARIANTS.items()
        if name not in ("CTRE", "CTRE sequential")  # the first is CoDASET; the second starts like it
    }
    | {
        f"cosine {growth}/{BY_COSINE}": {"grow_by": growth, "drop_by": BY_COSINE}
        for growth in (AT_RANDOM, HIGHEST, PROBABLE)
    }
    | {
        f"coactivation {criterion}": {"criterion": criterion}
        for criterion in ("coactivation", "both", "weighted_magnitude")
    }
)
PLAIN = [name for name in CONNECTIONS if name not in ("full", "cosine", "coactivation")]
ROWS = [DENSE, *PLAIN, LOTTERY, *OWN]
COLUMNS = ("connections", "density", "seed", "accuracy", "left", "seconds", "rows", "epochs")


def rule_of(row: str) -> str:
    """The name of the rule of a row."""
    return {DENSE: "full", LOTTERY: "iterative_magnitude"}.get(row, row.partition(" ")[0])


def layer_densities(density: float) -> list[float]:
    """The densities of the three layers under Erdos-Renyi."""
    k = SimpleNamespace(
        density=torch.tensor(density),
        epsilon=torch.tensor(0.0),
        distribution=torch.tensor(DISTRIBUTIONS.index(GLOBAL_ERK)),
    )
    shapes = [(outputs, inputs) for inputs, outputs in pairwise(WIDTHS)]
    return [float(share) for share in shares([k] * len(shapes), shapes)]


def dense_widths(density: float) -> tuple[int, int]:
    """The hidden layers of the dense network with about as many weights."""
    # 784 * 3 h + 3 h * h + 10 h weights
    b = 3 * WIDTHS[0] + WIDTHS[-1]
    h = round((-b + math.sqrt(b * b + 12 * density * ALL)) / 6)
    return 3 * h, h


def settings_of(row: str, density: float, steps_of_epoch: int) -> dict[str, Value]:
    """The knobs of a row beside the shared recipe."""
    rule = rule_of(row)
    if rule == "iterative_magnitude":
        first, second, _ = layer_densities(density)
        found: dict[str, Value] = {
            "rounds": ROUNDS,
            "share.1": 1 - first ** (1 / ROUNDS),
            "share.2": 1 - second ** (1 / ROUNDS),
        }
        return found | ({"rewind_step": steps_of_epoch + 1} if row == LOTTERY else {})
    if rule == "hebb_mask":
        return {
            "update_form": "agreement",
            "permanence_rate": 0.05,
            "permanence_decay": 0.05,  # as the rate: a permanence is then a running mean of the agreement
            "prune_threshold": THRESHOLDS[density],
            "update_interval": 10,
        }
    if "density" in CONNECTIONS[rule].knobs:
        found = {"density": density, "distribution": GLOBAL_ERK}
        if "prune_period" in CONNECTIONS[rule].knobs:
            found |= {"warmup": steps_of_epoch, "prune_period": steps_of_epoch // 4}
        return found | OWN.get(row, {})
    return {}


def cohort(
    row: str, density: float, seeds: Sequence[int], data: Split, epochs: int
) -> list[tuple[int, float, int, float]]:
    """Seed, test accuracy, connections left and CPU seconds of each network of a cohort."""
    hidden = dense_widths(density) if row == DENSE else HIDDEN
    network = Architecture("mlp", hidden, "dense", False, data.shape, 10, connections=rule_of(row))
    settings = RECIPE | settings_of(row, density, -(-len(data.x_train) // BATCH))
    recipe = Recipe(network, settings, epochs, BATCH, 0, count="connections")
    started = time.process_time()
    found = train(recipe, [Candidate({}, seed) for seed in seeds], data, torch.device("cpu"))
    seconds = (time.process_time() - started) / len(seeds)
    for each in found:
        assert each.failure is None, each.failure
    return [
        (seed, each.accuracy[-1], sum(each.layers), seconds) for seed, each in zip(seeds, found, strict=True)
    ]


def report(lines: pd.DataFrame, picture: Path | None) -> None:
    """Print the table of all lines, and draw it."""
    by = lines.groupby(["connections", "density"])
    mean, sd = (by["accuracy"].agg(how).unstack() * 100 for how in ("mean", "std"))
    left = by["left"].mean().unstack()
    mean = mean[sorted(mean.columns, reverse=True)]
    seconds = lines.groupby("connections")["seconds"].mean()
    order = mean.dropna(axis=1).mean(axis=1).sort_values(ascending=False).index  # of cells that all have
    print(f"| connections | {' | '.join(f'{d:.0%}' for d in mean.columns)} | CPU s a network |")
    print(f"|{' --- |' * (len(mean.columns) + 2)}")
    for row in order:
        cells = []
        for density in mean.columns:
            cell = f"{mean.loc[row, density]:.2f} ± {sd.loc[row, density]:.2f}"
            if rule_of(row) == "hebb_mask":
                cell += f" ({left.loc[row, density] / ALL:.1%})"
            cells.append(cell if pd.notna(mean.loc[row, density]) else "-")
        print(f"| {row} | {' | '.join(cells)} | {seconds[row]:.0f} |")
    if picture is None:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(10, 5.5), layout="constrained")
    for place, row in enumerate(order):
        is_control = row in (DENSE, "random", "static")
        known = mean.loc[row].dropna().index  # a gap would break the line
        panel.errorbar(
            left.loc[row, known] / ALL * 100,
            100 - mean.loc[row, known],
            sd.loc[row, known],
            label=row,
            color=pyplot.colormaps["tab20"](place % 20),
            linestyle="--" if is_control else "-",
            marker="os"[place // 20],  # there are twenty colours
            markersize=3,
            capsize=2,
            linewidth=1,
        )
    panel.set(xscale="log", yscale="log", xlabel="connections left, %", ylabel="test error, %")
    panel.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
    panel.set_xticks([], minor=True)
    panel.set_yticks([1.5, 2, 3, 5, 10, 20, 50], ["1.5", "2", "3", "5", "10", "20", "50"])
    panel.set_yticks([], minor=True)
    panel.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize="small")
    figure.savefig(picture, dpi=150)


def main() -> None:
    """Train what is not in the file yet, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=55_000, help="training rows")
    parser.add_argument("--rules", nargs="+", default=ROWS)
    parser.add_argument("--densities", nargs="+", type=float, default=DENSITIES)
    parser.add_argument("--csv", type=Path, default=Path("rewiring.csv"))
    parser.add_argument("--picture", type=Path, default=None)
    options = parser.parse_args()
    data = problem(options.rows)
    done = pd.read_csv(options.csv) if options.csv.exists() else pd.DataFrame(columns=COLUMNS)
    seeds = list(range(options.seeds))
    for density in options.densities:
        for row in options.rules:
            own = done[(done.connections == row) & (done.density == density)]
            if {*own.seed} >= {*seeds} or (density == 1 and row != DENSE):
                continue  # with all connections, all rows are dense networks
            is_new = not options.csv.exists()
            found = cohort(row, density, seeds, data, options.epochs)
            with options.csv.open("a", newline="") as file:
                writer = csv.writer(file)
                if is_new:
                    writer.writerow(COLUMNS)
                rows = len(data.x_train)
                for seed, accuracy, left, seconds in found:
                    numbers = f"{accuracy:.4f}", left, f"{seconds:.1f}"
                    writer.writerow((row, density, seed, *numbers, rows, options.epochs))
            print(row, density, [(f"{accuracy:.4f}", left) for _, accuracy, left, _ in found], flush=True)
    print(f"{processor()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    report(pd.read_csv(options.csv), options.picture)


if __name__ == "__main__":
    main()
