"""What a training step costs with fewer neurons alive, and with products in bfloat16.

Cohorts of 784-300-100-10 stamina nets train on rows of the shape of MNIST's, batch 64, one thread. The rows
are noise, because nothing has to be learned. All nets begin with a part of their neurons and keep it, with
an event every ten steps. The measurements take turns, so that a slow minute of the machine affects all of
them.

    python benchmarks/compaction.py [--repeats 5] [--nets 10] [--hidden 300 100] [--features 784]
"""

from __future__ import annotations

import argparse
import platform
import time
from statistics import median

import numpy as np
import torch
from throughput import processor

from hebbevo.data import Split
from hebbevo.networks import Architecture
from hebbevo.training import Candidate, CohortTraining, Recipe, Rows
from hebbevo.training.stack import VmapStack

PARTS = (1.0, 0.5, 0.25, 0.1, 0.05)
STEPS, BATCH, CLASSES = 70, 64, 10
FIRST = 10  # steps until the first event, after which unused slots are dropped


def cohort(options: argparse.Namespace, part: float, precision: str) -> CohortTraining:
    """Nets that have only this part of their neurons after the first event; nothing is pruned or regrown."""
    settings = {"initial_neurons": part, "unactivation_penalty": 0.0, "hebbian_threshold": -1.0, "warmup": 0}
    features = options.features
    network = Architecture("mlp", tuple(options.hidden), "stamina", False, (features,), CLASSES)
    recipe = Recipe(network, settings, 4, BATCH, 0, precision=precision)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, features)).astype(np.float32)
    y = rng.integers(CLASSES, size=len(x))
    ones = np.ones(features, np.float32)
    split = Split(x, y, x[:BATCH], y[:BATCH], x[:1], y[:1], 0 * ones, ones, tuple(range(CLASSES)))
    rows = Rows.of(split, (features,), torch.device("cpu"))
    candidates = [Candidate({"unactivation_penalty": 0.0}, number) for number in range(options.nets)]
    nets = [network.build(recipe.settings_for(each.genome), each.seed(0)) for each in candidates]
    model = network.build(recipe.settings_for({}), 0)
    values = [recipe.training_knobs({}) for _ in nets]
    return CohortTraining(recipe, VmapStack(nets, rows.x.device), values, model, rows)


def milliseconds(options: argparse.Namespace, part: float, precision: str) -> float:
    """Milliseconds for a step and net, events included."""
    nets = cohort(options, part, precision)
    batches = [*nets.minibatches(epoch=0)]
    for batch in batches[:FIRST]:
        nets.train_step(batch)
    started = time.perf_counter()
    for batch in batches[FIRST:]:
        nets.train_step(batch)
    return 1000 * (time.perf_counter() - started) / (len(batches) - FIRST) / options.nets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--nets", type=int, default=10)
    parser.add_argument("--hidden", type=int, nargs="+", default=[300, 100])
    parser.add_argument("--features", type=int, default=784)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways = [(part, precision) for precision in ("float32", "bfloat16") for part in PARTS]
    found: dict[tuple[float, str], list[float]] = {way: [] for way in ways}
    for _ in range(options.repeats):
        for way in ways:
            found[way].append(milliseconds(options, *way))
    print(f"{processor()}, one thread, torch {torch.__version__}, Python {platform.python_version()}")
    shape = "-".join(map(str, [options.features, *options.hidden, CLASSES]))
    print(f"{shape}, {options.nets} nets, batch {BATCH}; {options.repeats} repeats: median (least to most)\n")
    print("| neurons left | float32, ms a step and net | times as fast | bfloat16 | times as fast |")
    print("| --- | --- | --- | --- | --- |")
    for part in PARTS:
        cells = []
        for precision in ("float32", "bfloat16"):
            own = found[part, precision]
            ratios = [whole / each for whole, each in zip(found[1.0, "float32"], own, strict=True)]
            cells.append(f"{median(own):.3f} ({min(own):.3f} to {max(own):.3f}) | {median(ratios):.1f}")
        print(f"| {part:.0%} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
