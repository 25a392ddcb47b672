"""What every rule costs to train, beside stamina under the same forced schedule of pruning.

Stacks of fully connected networks train on digits. Under every unit rule their units are pruned down to the
same target in the same steps, with and without connection masks. CPU seconds are those of whole trainings
in one process and thread. The rules take turns, so that a slow minute of the machine affects all of them.

    python benchmarks/rules.py [--repeats 5] [--nets 25] [--hidden 128 128] [--epochs 20] [--target 20]
        [--connections full ...] [--engines pytorch native]
"""

from __future__ import annotations

import argparse
import platform
import time
from itertools import product
from statistics import median

import numpy as np
import torch
from throughput import processor

from hebbevo.data import Split, load, split
from hebbevo.networks import Architecture
from hebbevo.rules import CONNECTIONS, UNITS
from hebbevo.training import Candidate, Recipe, train
from hebbevo.training.recipe import NATIVE, PYTORCH

BATCH = 64


def seconds(options: argparse.Namespace, data: Split, engine: str, units: str, connections: str) -> float:
    """CPU seconds of a cohort of networks under these rules; every training must succeed."""
    schedule = {"schedule": "target", "target": options.target, "events": 20, "settle": 0.3}
    known = UNITS[units].knobs | CONNECTIONS[connections].knobs
    settings = {name: value for name, value in schedule.items() if name in known}
    network = Architecture("mlp", tuple(options.hidden), units, False, (64,), 10, (), connections)
    recipe = Recipe(network, settings, options.epochs, BATCH, 0, engine=engine)
    rates = np.geomspace(1e-3, 1e-2, options.nets)
    started = time.process_time()
    found = train(recipe, [Candidate({"learning_rate": rate}) for rate in rates], data, torch.device("cpu"))
    spent = time.process_time() - started
    for each in found:
        assert each.failure is None, each.failure
        if UNITS[units].prunes and connections == "full":
            assert each.layers == tuple(min(options.target, width) for width in options.hidden)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--nets", type=int, default=25)
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 128])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--target", type=int, default=20)
    parser.add_argument("--connections", nargs="+", default=list(CONNECTIONS))
    parser.add_argument("--engines", nargs="+", choices=(PYTORCH, NATIVE), default=[PYTORCH])
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = split(load("digits"), 0, BATCH)
    keys = [*product(options.engines, UNITS, options.connections)]
    found: dict[tuple[str, str, str], list[float]] = {key: [] for key in keys}
    for engine in options.engines:
        seconds(options, data, engine, "stamina", "full")  # warm up
    for _ in range(options.repeats):
        for units, connections in product(UNITS, options.connections):
            for engine in options.engines:
                found[engine, units, connections].append(seconds(options, data, engine, units, connections))
    shape = "-".join(map(str, [64, *options.hidden, 10]))
    print(f"{processor()}, one thread, torch {torch.__version__}, Python {platform.python_version()}")
    print(f"{options.nets} networks {shape}, {options.epochs} epochs of digits, {options.target} units left;")
    print(f"{options.repeats} repeats: median (least to most)\n")
    print("| engine | units | connections | CPU ms a network | beside stamina with the same connections |")
    print("| --- | --- | --- | --- | --- |")
    for engine, units, connections in keys:
        own, beside = found[engine, units, connections], found[engine, "stamina", connections]
        ratios = [one / other for one, other in zip(own, beside, strict=True)]
        cost = [1000 * each / options.nets for each in own]
        cells = (
            f"{median(cost):.0f} ({min(cost):.0f} to {max(cost):.0f})",
            (f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"),
        )
        print(f"| {engine} | {units} | {connections} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
