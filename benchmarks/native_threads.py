"""How much CPU and wall time the native engine takes for a network, by cohort width and number of threads.

48 random genomes of ``search_spaces/stamina.yaml`` train on digits in threads of one process. What is not
compiled is Python, which one thread at a time runs. It is the smaller, the more networks share it.

    python benchmarks/native_threads.py [--repeats 3] [--widths 1 4 24] [--threads 1 2]
"""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

import numpy as np
import torch

from hebbevo import garbage
from hebbevo.data import Split, input_shape, load, split
from hebbevo.outer.training_inputs import recipe
from hebbevo.space import Genome
from hebbevo.spec import override, read
from hebbevo.training import Candidate, Recipe, train
from hebbevo.training.recipe import NATIVE

NETS = 48


def trained(
    plan: Recipe, rows: Split, genomes: Sequence[Genome], width: int, threads: int
) -> tuple[float, float]:
    """Train all genomes; gives CPU and wall milliseconds a network."""
    cohorts = iter([genomes[start : start + width] for start in range(0, len(genomes), width)])
    taking = threading.Lock()

    def work() -> None:
        torch.set_num_threads(1)
        while True:
            with taking:
                cohort = next(cohorts, None)
            if cohort is None:
                return
            train(plan, [Candidate(genome) for genome in cohort], rows, torch.device("cpu"))

    wall, cpu = time.perf_counter(), time.process_time()
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    taken = time.process_time() - cpu, time.perf_counter() - wall
    return 1e3 * taken[0] / len(genomes), 1e3 * taken[1] / len(genomes)


def main() -> None:
    """Print a line for each width and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 4, 24])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    torch.set_num_threads(1)
    garbage.collect_rarely()  # as in a search
    spec = override(read("stamina"), engine=NATIVE)
    rows = split(load(spec.task.dataset), spec.search.seed, spec.task.batch_size)
    plan = recipe(spec, input_shape(rows.shape), rows.outputs, NATIVE, alone="")
    genomes = spec.space.sample(NETS, np.random.default_rng(5))
    trained(plan, rows, genomes[:2], 1, 1)  # imports and first operations are slow
    ways = [*itertools.product(given.widths, given.threads)]
    found: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for _ in range(given.repeats):  # in turns, since the machine may become slower
        for way in ways:
            found[way].append(trained(plan, rows, genomes, *way))
    print("| networks in a cohort | threads | CPU ms a network | wall ms a network |")
    print("| --- | --- | --- | --- |")
    for width, threads in ways:
        cpu, wall = (median(each) for each in zip(*found[width, threads], strict=True))
        print(f"| {width} | {threads} | {cpu:.1f} | {wall:.1f} |")


if __name__ == "__main__":
    main()
