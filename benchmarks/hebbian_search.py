"""A search over the family of Hebbian rules against SoftHebb's own constants, at equal size, on CIFAR-10.

The search has 14,286 training images, of which 10,000 train and the others validate. Its networks are
convolutions of 24, 96 and 384 channels in SoftHebb's layout (Journé et al., 2023, arXiv:2209.11883). They
learn for one epoch in minibatches of 10, and are read by a ridge regression. Genes are competition,
nonlinearity, threshold, decay, normalisation, rates, temperatures and powers. The first genome is SoftHebb
with the authors' constants.

The most accurate trial is then trained on all 50,000 training images with fresh seeds. So are SoftHebb's
constants, and both with a rate of zero, which leaves the filters random. The score is that of the test
images, which nothing else has seen.

    HEBBEVO_DATA=FOLDER python benchmarks/hebbian_search.py [--trials 200] [--seeds 3] [--folder FOLDER]

The folder has the study and a line for each network, so that the script can be stopped and started again. A
trial takes about 2 CPU minutes, and a network on all images about 10: 7 hours of CPU time for the search and
2 for the rest. These are estimates from single networks.
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from throughput import processor

import hebbevo
from hebbevo.data import Split, load, split
from hebbevo.networks import Architecture
from hebbevo.space import Genome
from hebbevo.space.knobs import Value
from hebbevo.training import Candidate, Exam, Recipe, train

IMAGES = 14_286  # 70 % of them train
BATCH = 10
SETTINGS: dict[str, Value] = {
    "normalization": "batch",
    "kernel_size.1": 5,
    "pool": "max",
    "pool_size": 4,
    "pool.3": "average",
    "pool_size.3": 2,
}
SOFTHEBB: Genome = {
    "competition": "softmax_signed",
    "nonlinearity": "linear",
    "threshold_form": "none",
    "decay_form": "soft",
    "update_scale": "largest",
    "normalize": False,
    "rate_power": 0.5,
    "anti_hebbian": 1.0,
    "initial_norm": 25.0,
    **{f"hebbian_rate.{layer}": rate for layer, rate in enumerate((0.08, 0.005, 0.01), start=1)},
    **{f"temperature.{layer}": 1 / rate for layer, rate in enumerate((1.0, 0.65, 0.25), start=1)},
    **{f"output_power.{layer}": power for layer, power in enumerate((0.7, 1.4, 1.0), start=1)},
}
GENOME: dict[str, Any] = {
    "competition": {"choices": ["winners", "softmax", "softmax_signed"]},
    "winners": {"type": "int", "low": 1, "high": 8, "log": True, "when": {"competition": "winners"}},
    "temperature": {
        "low": 0.05, "high": 50, "log": True, "repeat": 3,
        "when": {"competition": ["softmax", "softmax_signed"]},
    },
    "anti_hebbian": {"low": 0.0, "high": 1.0, "when": {"competition": "softmax_signed"}},
    "nonlinearity": {
        "choices": ["linear", "rectifier", "bcm"], "when": {"competition": ["softmax", "softmax_signed"]},
    },
    "threshold_form": {"choices": ["none", "homeostatic", "bcm"]},
    "threshold_rate": {
        "low": 1e-3, "high": 10, "log": True, "when": {"threshold_form": ["homeostatic", "bcm"]},
    },
    "decay_form": {"choices": ["instar", "oja", "soft"]},
    "update_scale": {"choices": ["mean", "largest"]},
    "normalize": {"choices": [True, False]},
    "rate_power": {"low": 0.0, "high": 1.0},
    "initial_norm": {"low": 0.3, "high": 35, "log": True},
    "hebbian_rate": {"low": 1e-3, "high": 0.3, "log": True, "repeat": 3},
    "output_power": {"low": 0.3, "high": 2.0, "repeat": 3},
}  # fmt: skip
COLUMNS = ("row", "seed", "test", "images", "seconds")


def searched(folder: Path, arguments: argparse.Namespace) -> hebbevo.Study:
    """The study of the search, which goes on where it was stopped."""
    data = folder / "images.npz"
    if not data.exists():
        cifar = load("cifar10")
        chosen = np.random.default_rng(0).permutation(50_000)[: arguments.images]
        x = cifar.x[chosen].reshape(-1, 3, 32, 32)
        np.savez(data, x=x, y=cifar.y[chosen])
    space: dict[str, Any] = {
        "name": "hebbian_search",
        "task": {"dataset": str(data), "standardize": "per_channel", "epochs": 1, "batch_size": BATCH},
        "network": {
            "family": "hebbian_conv", "channels": arguments.channels, "units": "dense", "credit": "hebbian",
            "readout": "ridge", "settings": SETTINGS,
        },
        "search": {"population": 20, "trials": arguments.trials, "start": [SOFTHEBB]},
        "objectives": {"accuracy": "maximize"},
        "genome": GENOME,
    }  # fmt: skip
    return hebbevo.search(space, study=folder / "search.db")


def all_images() -> Split:
    """All 50,000 training images; validation rows are among them, and decide nothing."""
    own = split(load("cifar10"), 0, BATCH, standardize="per_channel")
    return replace(
        own,
        x_train=np.concatenate([own.x_train, own.x_val]),
        y_train=np.concatenate([own.y_train, own.y_val]),
        x_val=own.x_val[:1000],
        y_val=own.y_val[:1000],
    )


def test_accuracy(genome: Genome, channels: list[int], seed: int, data: Split) -> float:
    """The test accuracy of a network with this genome and a seed that no search has."""
    network = Architecture(
        "hebbian_conv",
        (),
        "dense",
        False,
        (3, 32, 32),
        10,
        tuple(channels),
        credit="hebbian",
        readout="ridge",
    )
    recipe = Recipe(network, SETTINGS, epochs=1, batch_size=BATCH, seed=1000 + seed)
    [found] = train(recipe, [Candidate(genome)], data, torch.device("cpu"), exam=Exam(on_test_rows=True))
    if found.failure is not None or found.exam is None or found.exam.test is None:
        raise RuntimeError(f"{genome}: {found.failure}")
    return found.exam.test


def random(genome: Genome) -> Genome:
    """The same network, whose filters and thresholds stay as they were drawn."""
    fixed = {name: 0.0 for name in genome if name.startswith(("hebbian_rate", "threshold_rate"))}
    return {**genome, **fixed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=IMAGES, help="of the search")
    parser.add_argument("--most", type=int, default=50_000, help="training images of the comparison")
    parser.add_argument("--channels", type=int, nargs=3, default=[24, 96, 384])
    parser.add_argument("--folder", type=Path, default=Path("hebbian_search"))
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    study = searched(folder, arguments)
    best = study.best()
    if best is None:
        raise SystemExit("no trial has beaten chance")
    found = study.genome(int(best.trial))
    print(f"trial {best.trial}: {found}", flush=True)
    rows = {
        "found": found, "softhebb": SOFTHEBB, "found, random": random(found),
        "softhebb, random": random(SOFTHEBB),
    }  # fmt: skip
    lines, data = folder / "networks.csv", None
    if not lines.exists():
        lines.write_text(",".join(COLUMNS) + "\n")
    for seed in range(arguments.seeds):
        for row, genome in rows.items():
            table = pd.read_csv(lines)
            if ((table.row == row) & (table.seed == seed) & (table.images == arguments.most)).any():
                continue
            if data is None:
                whole = all_images()
                data = replace(
                    whole, x_train=whole.x_train[: arguments.most], y_train=whole.y_train[: arguments.most]
                )
            started = time.process_time()
            test = test_accuracy(genome, arguments.channels, seed, data)
            with lines.open("a", newline="") as file:
                csv.writer(file).writerow(
                    [row, seed, f"{test:.4f}", arguments.most, f"{time.process_time() - started:.1f}"]
                )
    table = pd.read_csv(lines)
    own = table[table.images == arguments.most]
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, ", end="")
    print(f"Python {platform.python_version()}")
    print((100 * own.groupby("row", sort=False).test.agg(["mean", "std"])).round(2).to_string())


if __name__ == "__main__":
    main()
