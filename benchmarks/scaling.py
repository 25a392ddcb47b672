"""What a second worker brings, what Ray costs, and how fast Ray Tune is, side by side in one run.

The same study runs with one and two workers, as processes of this machine and as Ray actors: stamina on
digits, with the sampler ``ga``, which costs hardly any time. Every run is a fresh process, and the ways
take turns. A worker is one thread of PyTorch; one local worker is the search's own process. The tables of
trials must be the same except for the seconds.

A generation is four cohorts of more than a second each. The clock starts when the first generation is done.
The time before that, minus a generation at the pace of the rest, is start-up. Ray Tune does such trainings
one by one with two workers (``tune_peer.py``, which says when its clock starts).

The cost of an executor itself is measured with trainings that cost nothing: one worker, cohorts of 25
genomes, as many measurements of 20 epochs, and the time from one result to the next.

    python benchmarks/scaling.py [--trials 160] [--tune-trials 30] [--cohorts 300] [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tune_peer
from throughput import processor

import hebbevo
from hebbevo import data
from hebbevo.execution import Cohort, ProcessExecutor, WorkerSetup
from hebbevo.spec import Spec, override, read, spec_from_json
from hebbevo.training import Candidate, Measurement

COHORT, POPULATION, EPOCHS = 20, 80, 20
IDLE_COHORT = 25
WAYS = {
    "local, 1 worker": ("local", 1),
    "local, 2 workers": ("local", 2),
    "Ray, 1 worker": ("ray", 1),
    "Ray, 2 workers": ("ray", 2),
}
TUNE = "Ray Tune, 2 workers"
PAIRS = (
    ("local, 2 workers", "local, 1 worker"),
    ("Ray, 2 workers", "Ray, 1 worker"),
    ("Ray, 1 worker", "local, 1 worker"),
    ("Ray, 2 workers", "local, 2 workers"),
    ("local, 2 workers", TUNE),
    ("Ray, 2 workers", TUNE),
)


class Idle(WorkerSetup):
    """A setup whose trainings take no time and return as many measurements as real ones."""

    def train(
        self, cohort: Cohort, worker: str, after_epoch: Callable[[], None] | None = None
    ) -> list[Measurement]:
        """Make the measurements up."""
        accuracy = tuple(np.linspace(0.1, 0.97, EPOCHS).tolist())
        survivors = tuple(range(256, 256 - EPOCHS, -1))
        return [Measurement(accuracy, survivors, (120, 117), 64, 0.1, neurons=256) for _ in cohort.candidates]


def fresh(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do ``work`` in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def study() -> Spec:
    """The settings that every way searches."""
    plain = override(read("stamina"), sampler="ga", population=POPULATION, epochs=EPOCHS).to_json()
    plain["search"]["cohort_width"] = COHORT
    return spec_from_json(plain)


def search(executor: str, workers: int, trials: int) -> tuple[float, float, pd.DataFrame]:
    """Return seconds of ``trials`` trials after the first generation, of start-up, and all trials."""
    times: dict[int, float] = {}

    def watch(progress: hebbevo.Progress) -> None:
        times.setdefault(progress.trials, time.perf_counter())

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = hebbevo.search(
            study(),
            study=Path(folder) / "study.db",
            trials=POPULATION + trials,
            watch=watch,
            executor=executor,
            workers=workers,
        )
    seconds = times[POPULATION + trials] - times[POPULATION]
    start_up = times[POPULATION] - started - seconds * POPULATION / trials
    return seconds, start_up, found.trials().drop(columns="seconds")


def hand_out(on_ray: bool, cohorts: int) -> dict[str, float]:
    """Start a worker, give it cohorts that cost nothing, and stop it; return the seconds of each."""
    from scaling import Idle  # workers unpickle it by this name

    split = data.split(data.load("digits"), seed=0, batch_size=64)
    genomes = study().space.sample(IDLE_COHORT, np.random.default_rng(0))
    idle_cohorts = [
        Cohort(tuple(range(first, first + IDLE_COHORT)), tuple(map(Candidate, genomes)))
        for first in range(0, cohorts * IDLE_COHORT, IDLE_COHORT)
    ]
    setup = Idle(None, split, "cpu", threads=1)  # its trainings need no recipe
    times = [time.perf_counter()]
    if on_ray:
        from hebbevo.execution.ray import RayExecutor as Workers
    else:
        Workers = ProcessExecutor
    times.append(time.perf_counter())
    with closing(Workers(setup, workers=1)) as executor:
        times.append(time.perf_counter())
        while not executor.free:
            executor.wait(1.0)
        times.append(time.perf_counter())
        ends = [time.perf_counter()]
        for cohort in idle_cohorts:
            executor.submit(cohort)
            while executor.wait(1.0) is None:
                pass
            ends.append(time.perf_counter())
    imported, made, ready = np.diff(times)
    gaps = np.diff(ends)
    return {
        "import": imported,
        "made": made,
        "ready": ready,
        "stop": time.perf_counter() - ends[-1],
        "cohort": float(np.median(gaps)),
        "slow": float(np.quantile(gaps, 0.95)),
    }


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """Median, smallest and largest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=160, help=f"a multiple of {POPULATION}")
    parser.add_argument("--tune-trials", type=int, default=30)
    parser.add_argument("--cohorts", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    paces: dict[str, list[float]] = {name: [] for name in (*WAYS, TUNE)}
    start_up: dict[str, list[float]] = {name: [] for name in (*WAYS, TUNE)}
    costs: dict[str, list[dict[str, float]]] = {"process": [], "Ray": []}
    first: pd.DataFrame | None = None
    for _ in range(options.repeats):  # interleaved, so that a slow minute affects all ways
        for name, way in WAYS.items():
            seconds, before, trials = fresh(search, *way, options.trials)
            paces[name].append(options.trials / seconds)
            start_up[name].append(before)
            first = trials if first is None else first
            pd.testing.assert_frame_equal(trials, first, check_exact=True, obj=name)
        seconds, before = fresh(tune_peer.ray_tune, options.tune_trials, 2)
        paces[TUNE].append(options.tune_trials / seconds)
        start_up[TUNE].append(before)
        for name, found in costs.items():
            found.append(fresh(hand_out, name == "Ray", options.cohorts))

    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"stamina on digits, {EPOCHS} epochs, ga, generations of {POPULATION}, cohorts of {COHORT}")
    print(f"{options.trials} trials (Tune: {options.tune_trials}), {options.repeats} repeats", end=": ")
    print("median (smallest to largest)\n")
    print(f"{'':22}{'trials/s':>24}{'start-up s':>24}")
    for name, pace in paces.items():
        print(f"{name:22}{spread(pace, '.2f'):>24}{spread(start_up[name]):>24}")
    print("\ntimes the trials a second")
    for name, peer in PAIRS:
        ratios = [one / other for one, other in zip(paces[name], paces[peer], strict=True)]
        print(f"{name + ' / ' + peer:42}{spread(ratios, '.2f'):>24}")
    print(f"\nall tables of {len(first)} trials are the same but for the seconds")
    print(f"\none worker, {options.cohorts} cohorts of {IDLE_COHORT} that cost nothing")
    print(f"{'':38}{'process':>24}{'Ray':>24}")
    for key, what, unit in (
        ("import", "import of the executor, s", 1),
        ("made", "executor made (ray.init, data put), s", 1),
        ("ready", "then until the worker is ready, s", 1),
        ("stop", "stop, s", 1),
        ("cohort", "a cohort, ms", 1000),
        ("slow", "a cohort, 95th percentile, ms", 1000),
    ):
        columns = (spread([unit * each[key] for each in costs[name]], ".2f") for name in costs)
        print(f"{what:38}{''.join(f'{column:>24}' for column in columns)}")


if __name__ == "__main__":
    main()
