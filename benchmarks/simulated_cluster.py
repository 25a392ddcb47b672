"""How the search itself behaves with 200 workers and many trials, where both are simulated.

Loop, sampler and SQLite record are the real ones, and records have their real length. The executor has a
clock that skips the time in which there is only training; the time that the search needs counts in full. A
training takes seconds from a log-normal distribution (median 60, sigma 0.3), and accuracy and survivors
come from a formula. All of these follow from the genome. A cohort takes as long as its trainings together.

First a small cluster really sleeps, in threads. It must find the same trials as the skipping clock, and be as
busy within a few per cent.

Then each line is a search in a fresh process. Its columns:

- milliseconds of CPU a trial: in all, over the last full tenth of the trials, and of sampler, record,
  progress and the rest;
- the MB of memory beyond those at its start, and the MB of its file;
- the share of the workers' time in training, in waiting for the last of a generation, and in waiting for
  the search;
- on the same study, CPU seconds until a resumed search continues, CPU seconds and MB of ``hebbevo front``
  and ``hebbevo report``, and the MB of the page.

    python benchmarks/simulated_cluster.py [--trials 10000] [--samplers ga surrogate]
        [--populations 200 1000] [--widths 1 5] [--workers 200] [--limit 60]

A search is stopped after ``--limit`` seconds; its line is about the trials that it did.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from functools import wraps
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
from throughput import processor

from hebbevo.execution import Cohort
from hebbevo.outer import preflight
from hebbevo.outer.driver import Driver, continue_study
from hebbevo.outer.progress import Tally
from hebbevo.samplers import Sampler
from hebbevo.space import Genome, canonical
from hebbevo.spec import Spec, override, read, spec_from_json
from hebbevo.study.ledger import Ledger
from hebbevo.study.storage.finding import find_place
from hebbevo.study.view import Study
from hebbevo.training import Measurement

EPOCHS, NEURONS, SIGMA = 20, 256, 0.3
COLUMNS = (
    "sampler", "population", "width", "trials",
    "CPU ms", "last", "ask, tell", "record", "progress", "rest", "MB", "file MB",
    "training", "generation", "search",
    "resume s", "front s", "front MB", "report s", "report MB", "page MB",
)  # fmt: skip


def pretend(genome: Genome, median: float) -> tuple[float, Measurement]:
    """Make up a training of a genome: its seconds, and its measurement."""
    chance = random.Random(canonical(genome))
    seconds = chance.lognormvariate(math.log(median), SIGMA)
    penalty = math.log10(genome["unactivation_penalty"]) / 4 + 0.5
    alive = round(NEURONS * (1 - penalty) ** 3 * (1.2 - genome["regrowth_rate"]) / 1.2)
    loss = 0.03 + 0.8 * math.exp(-alive / 20) + 0.05 * (math.log10(genome["learning_rate"]) + 2.5) ** 2
    best = 1 - min(loss + 0.01 * chance.random(), 0.9)
    left = [0.8**epoch for epoch in range(1, EPOCHS)] + [0.0]
    return seconds, Measurement(
        accuracy=tuple(best * (1 - 0.9 * part) for part in left),
        survivors=tuple(round(alive + (NEURONS - alive) * part) for part in left),
        layers=(alive - alive // 2, alive // 2),
        inputs=64,
        seconds=seconds,
        neurons=NEURONS,
    )


class Cluster:
    """Executor config and `Executor` in one, with simulated workers. It measures what the search takes."""

    trial_seconds = math.inf
    device = "cpu"

    def prestart_worker(self) -> None:
        """Do nothing: there is no process to start early."""

    def __init__(self, workers: int, median: float, total: int) -> None:
        self.workers, self.median, self.total = workers, median, total
        self.trials, self.busy = 0, 0.0
        self.cpu: list[float] = []  # at the beginning, after each tenth of the trials, and at the end
        self._pretending = 0.0

    def start(self, *_: Any, **__: Any) -> Cluster:
        """Start the measurement."""
        self.ready = time.process_time()
        self.memory = -_peak()
        self.began = self.now()
        self.cpu.append(self.ready)
        return self

    def close(self) -> None:
        """End the measurement."""
        self.elapsed = self.now() - self.began
        self.memory += _peak()
        self.cpu.append(self._used())

    def now(self) -> float:
        return time.perf_counter()

    def has_ended(self, cohort: Cohort) -> bool:
        return False

    def cancel(self, cohort: Cohort) -> str:
        return "a simulated worker"

    def interrupt(self) -> None:
        """Do nothing: no training takes real time."""

    def _used(self) -> float:
        return time.process_time() - self._pretending

    def _train(self, cohort: Cohort) -> tuple[float, list[Measurement]]:
        began = time.process_time()
        seconds, measured = zip(
            *(pretend(each.genome, self.median) for each in cohort.candidates), strict=True
        )
        self.busy += sum(seconds)
        self._pretending += time.process_time() - began
        return sum(seconds), list(measured)

    def _ended(self, cohort: Cohort) -> None:
        self.trials += len(cohort.trials)
        if self.trials * 10 >= len(self.cpu) * self.total:
            self.cpu.append(self._used())


class Skipping(Cluster):
    """A cluster whose clock skips to the end of the next training where the search would wait for it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.behind = 0.0  # worker seconds of waiting for other workers
        self._running: list[tuple[float, tuple[int, ...], Cohort, list[Measurement]]] = []
        self._skipped = 0.0

    @property
    def free(self) -> int:
        return self.workers - len(self._running)

    def now(self) -> float:
        return time.perf_counter() - self._pretending + self._skipped

    def submit(self, cohort: Cohort) -> None:
        seconds, measured = self._train(cohort)
        heapq.heappush(self._running, (self.now() + seconds, cohort.trials, cohort, measured))

    def wait(self, seconds: float) -> tuple[Cohort, list[Measurement]] | None:
        if not self._running:
            return None
        skipped = max(0.0, self._running[0][0] - self.now())
        self._skipped += skipped
        self.behind += skipped * self.free
        _, _, cohort, measured = heapq.heappop(self._running)
        self._ended(cohort)
        return cohort, measured


class Sleeping(Cluster):
    """A cluster whose workers are threads that sleep."""

    def start(self, *_: Any, **__: Any) -> Cluster:
        self._pool = ThreadPoolExecutor(self.workers)
        self._running: dict[Future[None], tuple[Cohort, list[Measurement]]] = {}
        return super().start()

    @property
    def free(self) -> int:
        return self.workers - len(self._running)

    def submit(self, cohort: Cohort) -> None:
        seconds, measured = self._train(cohort)
        self._running[self._pool.submit(time.sleep, seconds)] = cohort, measured

    def wait(self, seconds: float) -> tuple[Cohort, list[Measurement]] | None:
        done, _ = wait(self._running, seconds, FIRST_COMPLETED)
        for each in done:
            cohort, measured = self._running.pop(each)
            self._ended(cohort)
            return cohort, measured
        return None


def _peak() -> float:
    """The largest memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def study(sampler: str, population: int, width: int, trials: int) -> Spec:
    """The settings of the search."""
    given = override(read("stamina"), sampler=sampler, population=population, trials=trials)
    plain = given.to_json()
    plain["search"]["cohort_width"] = width
    return spec_from_json(plain)


def search(path: Path, spec: Spec, cluster: Cluster, limit: float | None = None) -> Study:
    """Search on a simulated cluster, as `hebbevo.search` does on real workers."""
    store = find_place(path)
    split, facts = preflight.prepare(spec, "cpu", workers=2)
    store.create(spec, facts)
    return continue_study(store, split, trials=None, timeout=limit, config=cluster, watch=lambda _: None)


def timed(owner: type, name: str, spent: Counter[str], what: str) -> None:
    """Add the CPU time of a method to ``spent[what]``."""
    method = getattr(owner, name)

    @wraps(method)
    def timing(*arguments: Any, **options: Any) -> Any:
        began = time.process_time()
        try:
            return method(*arguments, **options)
        finally:
            spent[what] += time.process_time() - began

    setattr(owner, name, timing)


def measure(path: Path, spec: Spec, workers: int, limit: float) -> dict[str, Any]:
    """Search, and return what it took."""
    spent: Counter[str] = Counter()
    for name in ("ask", "tell"):
        timed(Sampler, name, spent, "ask, tell")
    for name in ("open_generation", "close_cohort"):
        timed(Ledger, name, spent, "record")
    for owner, name in ((Driver, "progress"), (Tally, "add")):
        timed(owner, name, spent, "progress")
    cluster = Skipping(workers, 60.0, spec.search.trials)
    search(path, spec, cluster, limit)
    ms = 1000 / cluster.trials
    total = cluster.cpu[-1] - cluster.cpu[0]
    whole = workers * cluster.elapsed / 100
    tenths = [after - before for before, after in itertools.pairwise(cluster.cpu[:-1])]
    return {
        "trials": cluster.trials,
        "CPU ms": total * ms,
        "last": 10_000 * tenths[-1] / cluster.total if tenths else math.nan,
        **{what: seconds * ms for what, seconds in spent.items()},
        "rest": (total - spent.total()) * ms,
        "MB": cluster.memory,
        "file MB": path.stat().st_size / 1e6,
        "training": cluster.busy / whole,
        "generation": cluster.behind / whole,
        "search": 100 - (cluster.busy + cluster.behind) / whole,
    }


def resume(path: Path) -> float:
    """CPU seconds until a resumed search would ask for more genomes."""
    cluster = Skipping(1, 60.0, 1)
    began = time.process_time()
    more = 2**31 - 1
    continue_study(find_place(path), None, trials=more, timeout=1e-9, config=cluster, watch=lambda _: None)
    return cluster.ready - began


def command(*words: object) -> tuple[float, float]:
    """CPU seconds and MB of memory of a hebbevo command."""
    child = subprocess.Popen([sys.executable, "-m", "hebbevo", *map(str, words)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"hebbevo {words[0]} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def fresh(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do ``work`` in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def prediction(kind: type[Cluster]) -> tuple[pd.DataFrame, float]:
    """The trials of a small search on such a cluster, and the part of its workers' time in training."""
    cluster = kind(20, 0.05, 1000)
    with tempfile.TemporaryDirectory() as folder:
        found = search(Path(folder) / "study.db", study("ga", 100, 1, 1000), cluster)
    return found.trials(), cluster.busy / (cluster.workers * cluster.elapsed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[10_000])
    parser.add_argument("--samplers", nargs="+", default=["ga", "surrogate"])
    parser.add_argument("--populations", type=int, nargs="+", default=[200, 1_000])
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--limit", type=float, default=60.0)
    options = parser.parse_args()

    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    busy: dict[type[Cluster], list[float]] = {Sleeping: [], Skipping: []}
    found: list[pd.DataFrame] = []
    for kind in 3 * [*busy]:
        trials, part = fresh(prediction, kind)
        busy[kind].append(100 * part)
        found.append(trials)
        pd.testing.assert_frame_equal(trials, found[0], check_exact=True)
    print("1000 trials of 50 ms on 20 workers, of whose time training takes (median of 3, least and most):")
    for kind, parts in busy.items():
        print(f"{kind.__name__:9}{statistics.median(parts):6.1f} % ({min(parts):.1f} to {max(parts):.1f})")
    print("The trials are the same.\n")

    print(f"{options.workers} workers; training, generation and search in % of their time\n")
    print("  ".join(COLUMNS), flush=True)
    settings = itertools.product(options.trials, options.samplers, options.populations, options.widths)
    for trials, sampler, population, width in settings:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "study.db"
            spec = study(sampler, population, width, trials)
            row = {"sampler": sampler, "population": population, "width": width}
            row |= fresh(measure, path, spec, options.workers, options.limit)
            row["resume s"] = fresh(resume, path)
            row["front s"], row["front MB"] = command("front", path)
            row["report s"], row["report MB"] = command("report", path, "-o", folder)
            row["page MB"] = (Path(folder) / "report.html").stat().st_size / 1e6
        print("  ".join(f"{_shown(row[name]):>{len(name)}}" for name in COLUMNS), flush=True)


def _shown(value: float | str) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return str(value)


if __name__ == "__main__":
    main()
