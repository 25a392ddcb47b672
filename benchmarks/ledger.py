"""What it costs to write a trial down: Optuna's two public ways and hebbevo's ledger, side by side.

Optuna's ways run as they come and with the ledger's SQLite settings (WAL, synchronous=NORMAL).

Run ``python benchmarks/ledger.py [--trials 500] [--repeats 3]``; every way writes the same trials with the
same attributes to a new SQLite file in the temporary folder.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from sqlalchemy import event

from hebbevo import spacefile
from hebbevo.ledger import Ledger, Result
from hebbevo.space import FloatGene, Genome

POPULATION, COHORT = 50, 25
SPEC = spacefile.read("stamina.yaml")
DETAILS: dict[str, Any] = {
    "accuracy_sd": None,
    "survivors_sd": None,
    "layers": [61, 40],
    "accuracy_by_epoch": [0.9] * 20,
    "survivors_by_epoch": [101] * 20,
    "epochs": 20,
    "collapsed": False,
    "seconds": 0.1,
}
VALUES = (0.97, 101.0)


def distribution(gene: Any) -> BaseDistribution:
    if isinstance(gene, FloatGene):
        return optuna.distributions.FloatDistribution(gene.low, gene.high, log=gene.log)
    return optuna.distributions.CategoricalDistribution(gene.choices)


DISTRIBUTIONS = {gene.name: distribution(gene) for gene in SPEC.space.genes}


def stock(path: Path) -> RDBStorage:
    return RDBStorage(f"sqlite:///{path}")


def tuned(path: Path) -> RDBStorage:
    storage = RDBStorage(f"sqlite:///{path}")
    event.listen(storage.engine, "connect", tune)
    storage.engine.dispose()  # connections made before the listener
    return storage


def tune(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def optuna_study(storage: RDBStorage) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        directions=["maximize", "minimize"],
        sampler=optuna.samplers.RandomSampler(seed=0),
    )


def ask_and_tell(made: Callable[[Path], RDBStorage], path: Path, genomes: list[Genome]) -> float:
    study = optuna_study(made(path))
    start = time.perf_counter()
    for _ in genomes:  # the sampler draws its own genomes, which costs next to nothing
        trial = study.ask(DISTRIBUTIONS)
        for key, value in DETAILS.items():
            trial.set_user_attr(key, value)
        study.tell(trial, VALUES)
    return time.perf_counter() - start


def add_trial(made: Callable[[Path], RDBStorage], path: Path, genomes: list[Genome]) -> float:
    study = optuna_study(made(path))
    start = time.perf_counter()
    for genome in genomes:
        study.add_trial(
            optuna.create_trial(values=VALUES, params=genome, distributions=DISTRIBUTIONS, user_attrs=DETAILS)
        )
    return time.perf_counter() - start


def ledger(path: Path, genomes: list[Genome]) -> float:
    with Ledger.create(path, SPEC, {}) as book:
        start = time.perf_counter()
        for first in range(0, len(genomes), POPULATION):
            records = book.open_generation(
                first // POPULATION,
                len(genomes),
                first / len(genomes),
                genomes[first : first + POPULATION],
            )
            for place in range(0, len(records), COHORT):
                cohort = records[place : place + COHORT]
                book.close_cohort([Result(record.number, VALUES, DETAILS) for record in cohort])
        return time.perf_counter() - start


WAYS: dict[str, Callable[[Path, list[Genome]], float]] = {
    "study.ask, set_user_attr, study.tell": partial(ask_and_tell, stock),
    "ask, tell in WAL mode": partial(ask_and_tell, tuned),
    "study.add_trial (complete, none running)": partial(add_trial, stock),
    "add_trial in WAL mode": partial(add_trial, tuned),
    "open_generation, close_cohort": ledger,
}


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    genomes = SPEC.space.sample(given.trials, np.random.default_rng(0))
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for repeat in range(given.repeats):
        for name, way in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                times[name].append(1000 * way(Path(folder) / f"{repeat}.db", genomes) / given.trials)
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}; optuna {optuna.__version__}")
    print(f"{given.trials} trials, generations of {POPULATION}, cohorts of {COHORT}, {given.repeats} repeats")
    print(f"{'ms a trial':42}{'median':>8}{'least':>8}{'most':>8}{'ratio':>8}")
    ours = statistics.median(times["open_generation, close_cohort"])
    for name, found in times.items():
        middle = statistics.median(found)
        print(f"{name:42}{middle:8.2f}{min(found):8.2f}{max(found):8.2f}{middle / ours:8.1f}")


if __name__ == "__main__":
    main()
