"""A study of hand-written genomes, and helpers to write, read, kill and lock it."""

import contextlib
import math
import multiprocessing
import os
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import NamedTuple

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import Engine

from hebbevo.errors import StudyError
from hebbevo.spec import Spec
from hebbevo.study.attempts import FailedAttempt, FailureKind, Recovery
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Generation, Ledger, Record, Result
from hebbevo.study.storage import Store
from hebbevo.training.trial_details import EarlyStop, TrialDetails

SPEC = Spec.model_validate(
    {
        "version": 1,
        "name": "trial-run",
        "task": {"dataset": "digits"},
        "genome": {
            "rate": {"low": 1e-5, "high": 0.1, "log": True},
            "shift": {"low": -1.0, "high": 1},
            "depth": {"type": "int", "low": 1, "high": 12, "step": 4},
            "width": {"type": "int", "low": 1, "high": 4096, "log": True},
            "kind": {"choices": ["plain", 1, True, 0.1 + 0.2, False, 0, "1"]},
            "gain": {"low": 0.0, "high": 1.0, "when": {"kind": True}},
        },
    }
)
FACTS = StudyFacts(
    versions={"python": "3"}, neurons=20, chance=0.1, classes=("ä", 1), mean=(0.1 + 0.2,), shape=(1, 8, 8)
)
GENOMES = [
    {"rate": math.nextafter(1e-3, 1), "shift": 0.1 + 0.2, "depth": 9, "width": 4096, "kind": "plain"},
    {"rate": 1e-5, "shift": -1.0, "depth": 1, "width": 1, "kind": 1},
    {"rate": 0.1, "shift": 5e-324, "depth": 5, "width": 77, "kind": True, "gain": 1 / 3},
    {"rate": 1 / 3e3, "shift": 0.0, "depth": 5, "width": 3, "kind": 0.1 + 0.2},
    {"rate": 2 / 3e3, "shift": 1.0, "depth": 5, "width": 3, "kind": False},
    {"rate": 2 / 3e3, "shift": 1 / 7, "depth": 1, "width": 3, "kind": 0},
    {"rate": 2 / 3e3, "shift": 1 / 7, "depth": 1, "width": 3, "kind": "1"},
]
DISTRIBUTIONS = {
    "rate": FloatDistribution(1e-5, 0.1, log=True),
    "shift": FloatDistribution(-1.0, 1.0),
    "depth": IntDistribution(1, 9, step=4),  # no step reaches 12
    "width": IntDistribution(1, 4096, log=True),
    "kind": CategoricalDistribution(("plain", 1, True, 0.1 + 0.2, False, 0, "1")),
    "gain": FloatDistribution(0.0, 1.0),
}
LISTS = {"survivors_per_layer": [], "accuracy_per_epoch": [], "survivors_per_epoch": [], "replicates": []}


def details(**given: object) -> TrialDetails:
    """Details of which JSON keeps the types: lists where there is no failure."""
    return TrialDetails(**({} if "failure" in given else LISTS) | given)


def result(number: int, values: tuple[float, float] | None, **given: object) -> Result:
    return Result(number, values, details(**given))


DETAILS = details(survivors_per_layer=[3, 4.5], seconds=0.1 + 0.2, collapsed=True, notes=["ü\n'"])
FAILED = result(2, None, failure="diverged")
STOPPED = result(
    3,
    None,
    stopped=EarlyStop(7, (0.1 + 0.2, 1 / 3), "beaten"),
    accuracy_per_epoch=[0.1 + 0.2],
    survivors_per_epoch=[2.5],
)
CRASHED = FailedAttempt((0, 1), FailureKind.CRASH, "killed: ä", "process 7", 0.1 + 0.2, Recovery.AGAIN)
COHORT = 3  # trials that `write_until_killed` records at once

uses_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def create(store: Store | Path, spec: Spec = SPEC, facts: StudyFacts = FACTS) -> None:
    """Make a study without trials, and close it."""
    with Ledger.create(store, spec, facts):
        pass


class Opened(NamedTuple):
    """A ledger, and what it works on."""

    ledger: Ledger
    storage: RDBStorage
    study_id: int


def open_with_storage(store: Store) -> Opened:
    """Open a ledger, and give the storage and the id of its study as well."""
    opened = []
    real = store.open

    def open_and_keep():
        opened.append(real())
        return opened[-1]

    store.open = open_and_keep
    return Opened(Ledger.open(store), *opened[-1])


def reread(store: Store | Path) -> list[Generation]:
    with Ledger.open(store) as ledger:
        return ledger.generations()


def records(generations: list[Generation]) -> list[Record]:
    return [record for generation in generations for record in generation.records]


def typed(genome):
    return [(name, type(value), value) for name, value in sorted(genome.items())]


@contextlib.contextmanager
def refused(*words: str):
    """Expect a StudyError with one line that contains the words."""
    with pytest.raises(StudyError) as caught:
        yield
    assert len(str(caught.value).splitlines()) == 1
    for word in words:
        assert word in str(caught.value)


def without_checksums(path: Path) -> None:
    """Make of a study one of the versions that had no checksums."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table in ("study_user_attributes", "trial_system_attributes"):
            connection.execute(f"DELETE FROM {table} WHERE key = 'hebbevo:checksum'")
        connection.execute(
            "UPDATE study_user_attributes SET value_json = json_remove(value_json, '$.checksum')"
            " WHERE key LIKE 'hebbevo:generation:%'"
        )
        connection.commit()


@contextlib.contextmanager
def another_process(target, *args):
    process = multiprocessing.get_context("fork").Process(target=target, args=args, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def write_until_killed(store: Store | Path, parent) -> None:
    """Open generations and close cohorts of three trials, after a message to the parent, without end."""
    with Ledger.open(store) as ledger:
        parent.send("writing")
        while True:
            for generation in ledger.generations():
                todo = [record.number for record in generation.records if record.result is None]
                for start in range(0, len(todo), COHORT):
                    cohort = todo[start : start + COHORT]
                    ledger.close_cohort([result(number, (0.5, 1.0), seconds=1.0) for number in cohort])
            ledger.open_generation(len(ledger.generations()), 500, 0.0, GENOMES)


def assert_whole(generations: list[Generation]) -> None:
    """Check that generations are complete and that their cohorts are recorded whole or not at all."""
    for generation in generations:
        assert [record.genome for record in generation.records] == GENOMES
        done = [record.result is not None for record in generation.records]
        assert done in ([True] * n + [False] * (7 - n) for n in (0, 3, 6, 7))
        assert all(record.result.values == (0.5, 1.0) for record in generation.records if record.result)
    assert [record.number for record in records(generations)] == list(range(7 * len(generations)))


def die_at_commit(count: int, work) -> None:
    """Call ``work``, and kill this process just before the commit of this number."""
    left = [count]

    def commit(_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "commit", commit)
    work()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studies" / "run.db"


@pytest.fixture(scope="session")
def blank_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study without trials, to be copied: making one takes a while."""
    path = tmp_path_factory.mktemp("ledger") / "blank.db"
    create(path)
    return path


@pytest.fixture
def study_file(path: Path, blank_study: Path) -> Path:
    """A new study without trials."""
    path.parent.mkdir()
    shutil.copy(blank_study, path)
    return path


@pytest.fixture
def ledger(study_file: Path):
    """The ledger of a new study without trials."""
    with Ledger.open(study_file) as ledger:
        yield ledger
