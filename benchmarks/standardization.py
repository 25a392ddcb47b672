"""Images standardised by channel, as is the default, beside each pixel by itself: `standardize: true`.

Dense networks of three sizes learn MNIST and Fashion-MNIST for 10 epochs, and the digits for 60. Both ways
have the same seeds, weights and minibatches. The score is validation accuracy after the last epoch.

    HEBBEVO_DATA=FOLDER python benchmarks/standardization.py [--seeds 5] [--csv standardization.csv]

The script appends a line for each network, so that it can be stopped and started again. It takes about ten
CPU minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from throughput import processor

from hebbevo.data import load, split
from hebbevo.networks import Architecture
from hebbevo.space.knobs import Value
from hebbevo.study.intervals import mean_of
from hebbevo.training import Candidate, Recipe, train
from hebbevo.training.recipe import NATIVE

BATCH = 64
EPOCHS = {"digits": 60, "mnist": 10, "fashion_mnist": 10}
WIDTHS = ((26, 14), (71, 33), (300, 100))
WAYS = ("per_channel", True)
SETTINGS: dict[str, Value] = {"learning_rate": 3e-3, "weight_decay": 0.1, "settle": 0.5}
COLUMNS = ("dataset", "neurons", "standardize", "seed", "accuracy")


def accuracies(dataset: str, widths: Sequence[int], way: bool | str, seeds: Sequence[int]) -> list[float]:
    """Validation accuracies of networks with these seeds."""
    assert way is True or way == "per_channel"
    data = split(load(dataset), 0, BATCH, standardize=way)
    network = Architecture("mlp", tuple(widths), "dense", False, data.shape, 10)
    recipe = Recipe(network, SETTINGS, EPOCHS[dataset], BATCH, 0, engine=NATIVE)
    found = train(recipe, [Candidate({}, seed) for seed in seeds], data, torch.device("cpu"))
    return [each.accuracy[-1] for each in found]


def report(lines: pd.DataFrame) -> None:
    """Print the table: means, and the mean difference of equal seeds with its interval of 95 %."""
    print("| data | hidden neurons | by channel, % | by pixel, % | difference, points |\n|" + " --- |" * 5)
    for (dataset, neurons), own in lines.groupby(["dataset", "neurons"], sort=False):
        by = {way: 100 * of.set_index("seed").accuracy for way, of in own.groupby("standardize")}
        channel, pixel = by["per_channel"], by["True"]
        gain = mean_of([*(channel - pixel).dropna()])
        means = f"{channel.mean():.2f} ± {channel.std():.2f} | {pixel.mean():.2f} ± {pixel.std():.2f}"
        interval = f"{gain.value:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})"
        print(f"| {dataset} | {neurons} | {means} | {interval} |")


def main() -> None:
    """Train what is not in the file yet, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--csv", type=Path, default=Path("standardization.csv"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    path: Path = options.csv
    if not path.exists():
        pd.DataFrame(columns=COLUMNS).to_csv(path, index=False)
    for dataset in EPOCHS:
        for widths in WIDTHS:
            for way in WAYS:
                done = pd.read_csv(path, dtype={"standardize": str})
                own = done[(done.dataset == dataset) & (done.neurons == sum(widths))]
                known = {*own[own.standardize == str(way)].seed}
                if left := [seed for seed in range(options.seeds) if seed not in known]:
                    scores = accuracies(dataset, widths, way, left)
                    rows = [
                        (dataset, sum(widths), way, seed, f"{score:.4f}")
                        for seed, score in zip(left, scores, strict=True)
                    ]
                    pd.DataFrame(rows).to_csv(path, mode="a", header=False, index=False)
    print(f"{processor()}, torch {torch.__version__}\n")
    report(pd.read_csv(path, dtype={"standardize": str}))


if __name__ == "__main__":
    main()
