"""What it costs to write a trial and to read it: Optuna's public interface and hebbevo's ledger.

Optuna's ways of writing run with their own SQLite settings and in WAL mode (synchronous=NORMAL).
Every way writes the same trials with the same attributes to a new SQLite file in the temporary folder. The
readers read the study that the ledger wrote.

    python benchmarks/ledger.py [--trials 500] [--repeats 3]
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

from hebbevo.space import FloatGene, Genome
from hebbevo.spec import read
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Ledger, Result
from hebbevo.training.trial_details import TrialDetails

POPULATION, COHORT = 50, 25
SPEC = read("stamina.yaml")
FACTS = StudyFacts(versions={}, neurons=256, chance=0.1)
DETAILS = TrialDetails(
    neurons=256,
    survivors_per_layer=[61, 40],
    inputs=64.0,
    accuracy_per_epoch=[0.9] * 20,
    survivors_per_epoch=[101] * 20,
    replicates=[{"accuracy": 0.97, "survivors": 101}],
    epochs=20,
    seconds=0.1,
)
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
    storage.engine.dispose()  # close connections that were made without these settings
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
    for _ in genomes:  # the sampler draws its own genomes, at hardly any cost
        trial = study.ask(DISTRIBUTIONS)
        for key, value in DETAILS.to_json().items():
            trial.set_user_attr(key, value)
        study.tell(trial, VALUES)
    return time.perf_counter() - start


def add_trial(made: Callable[[Path], RDBStorage], path: Path, genomes: list[Genome]) -> float:
    study = optuna_study(made(path))
    start = time.perf_counter()
    for genome in genomes:
        study.add_trial(
            optuna.create_trial(
                values=VALUES, params=genome, distributions=DISTRIBUTIONS, user_attrs=DETAILS.to_json()
            )
        )
    return time.perf_counter() - start


def ledger(path: Path, genomes: list[Genome]) -> float:
    with Ledger.create(path, SPEC, FACTS) as book:
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


def read_by_optuna(path: Path) -> float:
    study = optuna.load_study(study_name=None, storage=stock(path))
    start = time.perf_counter()
    study.get_trials(deepcopy=False)
    return time.perf_counter() - start


def read_by_ledger(path: Path) -> float:
    with Ledger.open(path) as book:
        start = time.perf_counter()
        book.generations()
        return time.perf_counter() - start


READERS: dict[str, Callable[[Path], float]] = {
    "study.get_trials": read_by_optuna,
    "Ledger.generations": read_by_ledger,
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
    reads: dict[str, list[float]] = {name: [] for name in READERS}
    for _ in range(given.repeats):
        with tempfile.TemporaryDirectory() as folder:
            for place, (name, way) in enumerate(WAYS.items()):
                path = Path(folder) / f"{place}.db"
                times[name].append(1000 * way(path, genomes) / given.trials)
            for name, read in READERS.items():  # the study of the ledger, which was the last
                reads[name].append(1000 * read(path) / given.trials)
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}; optuna {optuna.__version__}")
    print(f"{given.trials} trials, generations of {POPULATION}, cohorts of {COHORT}, {given.repeats} repeats")
    show("ms a trial, written", times)
    show("ms a trial, read", reads)


def show(title: str, figures: dict[str, list[float]]) -> None:
    print(f"{title:42}{'median':>8}{'least':>8}{'most':>8}{'ratio':>8}")
    ours = statistics.median([*figures.values()][-1])
    for name, found in figures.items():
        middle = statistics.median(found)
        print(f"{name:42}{middle:8.2f}{min(found):8.2f}{max(found):8.2f}{middle / ours:8.1f}")


if __name__ == "__main__":
    main()
