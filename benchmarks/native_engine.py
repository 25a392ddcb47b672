"""What a training costs by the native engine, beside a stack of PyTorch and an ordinary loop.

Random genomes of `search_spaces/stamina.yaml` train on digits at full length, by one thread. The clock is
that of the processor, so what else runs on the machine counts little. Contestants take turns, so that a slow
minute affects all of them. The stack holds all nets of a row of the table; the loop (`plain_net.py`) trains
a few of them. Beside the times stands whether both engines end with the same nets.

    python benchmarks/native_engine.py [--repeats 5] [--widths 128 32 64 256 512 1024] [--epochs 20]
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import plain_net
import torch
from plain_net import Job
from throughput import machine, markdown, spec_of, spread

from hebbevo import native
from hebbevo.data import Split, load, split
from hebbevo.outer.training_inputs import recipe
from hebbevo.training import Candidate, Measurement, Recipe, train
from hebbevo.training.recipe import PYTORCH

MOST_NETS, PLAIN_NETS = 25, 3
WORK = 25 * 128**2  # at most so many weights between hidden layers in a stack of wider nets
ENGINES = ("pytorch", "native")


def nets_of(width: int) -> int:
    """How many nets of a width train together."""
    return max(3, min(MOST_NETS, WORK // width**2))


def prepared(job: Job) -> tuple[Recipe, Split, list[Candidate]]:
    """What the nets share, the data, and the nets."""
    spec = spec_of(job)
    parts = split(load(job.dataset), job.seed, job.batch)
    genomes = spec.space.sample(nets_of(job.hidden[0]), np.random.default_rng(job.seed))
    return recipe(spec, (1, 8, 8), parts.outputs, PYTORCH, alone=""), parts, [*map(Candidate, genomes)]


def by_engine(job: Job, engine: str) -> tuple[float, list[Measurement]]:
    """CPU seconds a net by an engine, from the genome to the last epoch, and what the nets reach."""
    plan, parts, candidates = prepared(job)
    begun = time.process_time()
    found = train(replace(plan, engine=engine), candidates, parts, torch.device("cpu"))
    return (time.process_time() - begun) / len(candidates), found


def by_plain_loop(job: Job) -> float:
    """CPU seconds a net by an ordinary loop."""
    _, _, candidates = prepared(job)
    begun = time.process_time()
    for candidate in candidates[:PLAIN_NETS]:
        plain_net.train(candidate.genome, job)
    return (time.process_time() - begun) / len(candidates[:PLAIN_NETS])


def of_width(width: int, epochs: int, repeats: int) -> dict[str, Any]:
    """All contestants at one width, several times, each repeat with other genomes."""
    runs: dict[str, list[float]] = {"loop": [], **{engine: [] for engine in ENGINES}}
    same, differences = [], []
    for seed in range(repeats):
        job = Job(hidden=(width, width), epochs=epochs, seed=seed)
        plain_net.get_ready(job)
        found = {}
        for engine in ENGINES:
            seconds, found[engine] = by_engine(job, engine)
            runs[engine].append(seconds)
        runs["loop"].append(by_plain_loop(job))
        pairs = [
            (ours, theirs)
            for ours, theirs in zip(*(found[engine] for engine in ENGINES), strict=True)
            if not (ours.failure or theirs.failure)
        ]
        same += [float(np.mean(np.equal(ours.survivors, theirs.survivors))) for ours, theirs in pairs]
        differences += [theirs.accuracy[-1] - ours.accuracy[-1] for ours, theirs in pairs]
        told = ", ".join(f"{name} {1e3 * own[-1]:.1f} ms" for name, own in runs.items())
        print(f"{width}, {seed}: {told}", file=sys.stderr, flush=True)
    return {**runs, "same": fmean(same), "difference": fmean(differences)}


def line(width: int, found: dict[str, Any]) -> list[str]:
    """A row of the table."""
    milliseconds = ([1e3 * each for each in found[name]] for name in ("loop", *ENGINES))
    ratios = (
        [slow / fast for slow, fast in zip(found[name], found["native"], strict=True)]
        for name in ("loop", "pytorch")
    )
    return [
        f"{width}-{width}",
        *(spread(each) for each in milliseconds),
        *(spread(each) for each in ratios),
        f"{found['same']:.1%}",
        f"{found['difference']:+.4f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 32, 64, 256, 512, 1024])
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    by_engine(Job(hidden=(8, 8), epochs=1), "native")  # libraries are loaded
    found = {width: of_width(width, options.epochs, options.repeats) for width in options.widths}
    columns = ("loop, ms", "PyTorch, ms", "native, ms", "times the loop", "times PyTorch")
    header = ("hidden", *columns, "same survivors", "accuracy")
    print(f"{machine()}, vectors of {native.library().width} floats; median (smallest to largest)\n")
    print(markdown(header, [line(width, each) for width, each in found.items()]))


if __name__ == "__main__":
    main()
