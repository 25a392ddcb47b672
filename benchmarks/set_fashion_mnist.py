"""SET, a random mask that stays, and a small dense network on Fashion-MNIST, with as many connections.

The network of the SET authors' tutorial, 784-1000-1000-1000-10 with ReLU, has 2,794,000 connections. With
epsilon 13 (Erdos-Renyi) about 88,000 of them are in, 3 %. Three ways to have that many:

- `set`: once an epoch 30 % of the connections change places (Mocanu et al. 2018);
- `static`: a random mask of the same densities, which stays;
- `dense`: a dense network of as many connections, with three hidden layers of equal width.

All are trained by SGD with momentum 0.9 and weight decay 2e-4 at the learning rate of the tutorial, 0.05, in
minibatches of 100. The tutorial trains for hundreds of epochs with dropout; this training is shortened to 10
epochs without dropout. In the last 30 % of them no connection changes, and the learning rate falls to zero.
The score is test accuracy after the last epoch.

    HEBBEVO_DATA=FOLDER python benchmarks/set_fashion_mnist.py [--seeds 3] [--csv set_fashion_mnist.csv]

The script appends a line for each network to the file, so that it can be stopped and started again.
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd
import torch
from scipy import stats
from throughput import processor
from units import problem

from hebbevo.data import Split
from hebbevo.networks import Architecture
from hebbevo.space.knobs import Value
from hebbevo.training import Candidate, Recipe, train

BATCH = 100
EPSILON = 13.0
HIDDEN = (1000, 1000, 1000)
SETTLE = 0.3
SET, STATIC, DENSE = ROWS = ("set", "static", "dense")
COLUMNS = ("connections", "seed", "accuracy", "left", "seconds", "epochs")


def connections_of(widths: tuple[int, ...]) -> int:
    """Connections of a dense network with these hidden widths."""
    return sum(before * after for before, after in pairwise((784, *widths, 10)))


def dense_width(connections: int) -> int:
    """The width of three equal hidden layers that comes nearest to so many connections."""
    return min(range(1, 1001), key=lambda width: abs(connections_of((width,) * 3) - connections))


def measure(row: str, seed: int, data: Split, epochs: int) -> tuple[float, int, float]:
    """Test accuracy, connections left, and CPU seconds of one network."""
    steps = -(-len(data.x_train) // BATCH)
    settings: dict[str, Value] = {
        "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 2e-4,
        "settle": SETTLE,
        "epsilon": EPSILON, "distribution": "erdos_renyi",
    }  # fmt: skip
    if row == SET:
        settings |= {"drop_fraction": 0.3, "drop_schedule": "constant", "rewire_period": steps}
    if row == DENSE:
        pairs = pairwise((784, *HIDDEN, 10))
        width = dense_width(
            round(sum(min(before * after, EPSILON * (before + after)) for before, after in pairs))
        )
        network = Architecture("mlp", (width,) * 3, "dense", False, data.shape, 10, connections="full")
    else:
        network = Architecture("mlp", HIDDEN, "dense", False, data.shape, 10, connections=row)
    recipe = Recipe(network, settings, epochs, BATCH, 0, count="connections")
    started = time.process_time()
    [found] = train(recipe, [Candidate({}, seed)], data, torch.device("cpu"))
    assert found.failure is None, found.failure
    return found.accuracy[-1], sum(found.layers), time.process_time() - started


def report(lines: pd.DataFrame) -> None:
    """Print the table, and the differences paired by seed."""
    print("| connections | test accuracy | left | CPU s a network |\n| --- | --- | --- | --- |")
    for row, own in lines.groupby("connections", sort=False):
        accuracy = 100 * own.accuracy
        print(
            f"| {row} | {accuracy.mean():.2f} ± {accuracy.std():.2f} | {own.left.mean():,.0f} "
            f"| {own.seconds.mean():.0f} |"
        )
    by = 100 * lines.pivot(index="seed", columns="connections", values="accuracy")
    for better, worse in ((SET, STATIC), (STATIC, DENSE)):
        if {better, worse} <= {*by} and len(by) > 1:
            found = stats.ttest_rel(by[better], by[worse]).confidence_interval(0.95)
            mean = (by[better] - by[worse]).mean()
            interval = f"95 % interval {found.low:+.2f} to {found.high:+.2f}"
            print(f"{better} less {worse}: {mean:+.2f} points ({interval})")


def main() -> None:
    """Train what is not in the file yet, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--csv", type=Path, default=Path("set_fashion_mnist.csv"))
    options = parser.parse_args()
    data = problem(60_000, "fashion_mnist")
    done = pd.read_csv(options.csv) if options.csv.exists() else pd.DataFrame(columns=COLUMNS)
    for seed in range(options.seeds):
        for row in ROWS:
            if ((done.connections == row) & (done.seed == seed) & (done.epochs == options.epochs)).any():
                continue
            is_new = not options.csv.exists()
            accuracy, left, seconds = measure(row, seed, data, options.epochs)
            with options.csv.open("a", newline="") as file:
                writer = csv.writer(file)
                if is_new:
                    writer.writerow(COLUMNS)
                writer.writerow((row, seed, f"{accuracy:.4f}", left, f"{seconds:.1f}", options.epochs))
            print(row, seed, f"{accuracy:.4f}", left, f"{seconds:.0f} s", flush=True)
    print(f"{processor()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    report(pd.read_csv(options.csv))


if __name__ == "__main__":
    main()
