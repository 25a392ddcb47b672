"""A study in a file and in databases: one contract, and what only a database can do to it.

The servers are those of ``.ci/postgresql`` and ``.ci/mariadb``; without them their tests are skipped.
"""

import json
import math
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import optuna
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import hebbevo
from hebbevo.errors import StudyError
from hebbevo.outer import driver
from hebbevo.spec.schema import Spec
from hebbevo.study.attempts import FailedAttempt, FailureKind, Recovery
from hebbevo.study.ledger import STOPPED, Ledger, Result
from hebbevo.study.storage import StudyDatabase, StudyFile, find_store, lease, server
from hebbevo.study.storage.store import Store
from tests.study.test_ledger import (
    DETAILS,
    FACTS,
    GENOMES,
    SPEC,
    another_process,
    forks,
    refused,
    typed,
    write_for_ever,
)

KILLED = FailedAttempt((0, 1), FailureKind.CRASH, "killed: ä", "process 7", 0.1 + 0.2, Recovery.AGAIN)
FULL = FailedAttempt((0, 1), FailureKind.MEMORY, "no room", "process 8", 2.0, Recovery.IN_HALVES)
FAILED = Result(2, None, {"failure": "diverged"})
STOPPED_EARLY = Result(3, None, {STOPPED: 7, "accuracy_by_epoch": [0.1 + 0.2]})
SERVERS = {"postgresql": "HEBBEVO_TEST_POSTGRESQL", "mysql": "HEBBEVO_TEST_MYSQL"}


def address(kind: str) -> str:
    url = os.environ.get(SERVERS[kind])
    if not url:
        pytest.skip(f"needs a server in {SERVERS[kind]}")
    return url


@pytest.fixture(params=["file", *SERVERS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Make stores of one place, each as another process would."""
    name = f"test-{uuid4().hex}"
    if request.param == "file":
        return lambda: StudyFile(tmp_path / "studies" / f"{name}.db")
    url = address(request.param)
    return lambda: StudyDatabase(url, name)


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    return address(request.param)


@pytest.fixture
def name() -> str:
    return f"test-{uuid4().hex}"


@pytest.fixture
def postgresql() -> str:
    return address("postgresql")


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    engine = create_engine(server.parse(url), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture
def empty(postgresql: str) -> Iterator[str]:
    """A database of its own, without tables."""
    name = f"test_{uuid4().hex}"
    with engine_of(postgresql) as engine, engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield postgresql.rpartition("/")[0] + f"/{name}"
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def made(store: Store) -> Store:
    Ledger.create(store, SPEC, FACTS).__exit__(None, None, None)
    return store


def storage_of(store: Store) -> RDBStorage:
    storage, _ = store.open()
    return storage


@contextmanager
def writing(store: Store) -> Iterator[Ledger]:
    with store.held(), Ledger.open(store) as book:
        yield book


def reread(store: Store) -> list[Any]:
    with Ledger.open(store) as book:
        return book.generations()


# --- the contract ---


def test_a_study_is_there_once_it_is_made_and_making_it_again_leaves_it(place):
    assert not place().exists()
    with refused(str(place()), "no such study"):
        place().open()
    made(place())
    assert place().exists()
    other = Spec.model_validate(SPEC.to_json() | {"name": "other"})
    with Ledger.create(place(), other, {}) as book:
        assert (book.spec, book.facts, book.generations()) == (SPEC, FACTS, [])


def test_what_is_written_comes_back_bit_for_bit(place):
    with writing(made(place())) as book:
        asked = book.open_generation(0, 500, 0.1 + 0.2, GENOMES)
        book.close_cohort([Result(1, (0.1 + 0.2, 1 / 3), DETAILS), FAILED, STOPPED_EARLY])
        book.open_generation(1, 12, 1 / 3, GENOMES[:2])
    first, second = reread(place())
    assert (first.number, first.total, first.progress) == (0, 500, 0.1 + 0.2)
    assert (second.number, second.total, second.progress) == (1, 12, 1 / 3)
    assert [record.number for record in asked] == list(range(len(GENOMES)))
    records = first.records + second.records
    assert [record.number for record in records] == list(range(len(GENOMES) + 2))
    for record, genome in zip(records, GENOMES + GENOMES[:2], strict=True):
        assert typed(record.genome) == typed(genome)
    assert {record.number: record.result for record in records if record.result} == {
        1: Result(1, (0.1 + 0.2, 1 / 3), DETAILS),
        2: FAILED,
        3: STOPPED_EARLY,
    }


def test_studies_in_one_place_and_trials_of_others_do_not_meet(place):
    with writing(made(place())) as book:
        book.open_generation(0, 500, 0.0, GENOMES[:2])
        other = optuna.create_study(storage=book._storage, study_name=uuid4().hex)
        trial = optuna.create_trial(
            value=1.0, params={"rate": 0.5}, distributions={"rate": FloatDistribution(0.0, 1.0)}
        )
        other.add_trial(trial)
        study = optuna.load_study(study_name=study_name(book), storage=book._storage)
        study.add_trial(optuna.create_trial(values=[1.0, 2.0], user_attrs={"mine": 1}))
        book.close_cohort([Result(1, (math.inf, 3.0), {"text": "ä"})])
        book.open_generation(1, 500, 0.5, GENOMES[2:4])
    records = [record for generation in reread(place()) for record in generation.records]
    assert [record.number for record in records] == [0, 1, 3, 4]
    assert [typed(record.genome) for record in records] == [typed(genome) for genome in GENOMES[:4]]
    result = Result(1, (math.inf, 3.0), {"text": "ä"})
    assert [record.result for record in records] == [None, result, None, None]


def test_facts_and_details_may_be_long(place):
    long = [0.1 + 0.2] * 20_000  # the means of a colour image are 64 KB and more
    store = place()
    Ledger.create(store, SPEC, {**FACTS, "mean": long}).__exit__(None, None, None)
    with writing(store) as book:
        book.open_generation(0, 1, 0.0, GENOMES[:1])
        book.close_cohort([Result(0, (0.5, 1.0), {"curve": long})])
        assert book.facts["mean"] == long
    assert reread(place())[0].records[0].result.details == {"curve": long}


def test_a_generation_a_cohort_and_an_attempt_are_one_transaction_each(place):
    seen: list[object] = []
    with writing(made(place())) as book:
        event.listen(book._storage.engine, "commit", seen.append)
        book.open_generation(0, 500, 0.0, GENOMES * 20)
        assert len(seen) == 1
        book.add_attempt(range(140), KILLED)
        assert len(seen) == 2
        book.close_cohort([Result(number, (0.5, 3.0), DETAILS) for number in range(140)])
        assert len(seen) == 3


def test_half_a_generation_is_never_written(place, monkeypatch):
    store = made(place())
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_params", lambda *_: iter([object()]))
        with pytest.raises(Exception, match="dictionaries"), writing(store) as book:
            book.open_generation(0, 500, 0.0, GENOMES)
    assert reread(store) == []


def contents(storage: RDBStorage, study_id: int) -> dict[str, Any]:
    with Session(storage.engine) as session:
        tables: dict[str, Any] = {
            "directions": (models.StudyDirectionModel, "objective", "direction"),
            "user": (models.StudyUserAttributeModel, "key", "value_json"),
            "system": (models.StudySystemAttributeModel, "key", "value_json"),
        }
        return {
            name: {
                getattr(row, key): getattr(row, value)
                for row in session.query(table).filter_by(study_id=study_id)
            }
            for name, (table, key, value) in tables.items()
        }


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_new_study_is_the_rows_that_optuna_writes(place):
    storage, study_id = made(place()).open()
    directions = ["maximize", "minimize"]
    study = optuna.create_study(storage=storage, directions=directions, study_name=uuid4().hex)
    study.set_metric_names(["accuracy", "survivors"])
    study.set_user_attr("hebbevo:spec", SPEC.to_json())
    study.set_user_attr("hebbevo:facts", FACTS)
    assert contents(storage, study_id) == contents(storage, study._study_id)
    storage.engine.dispose()


def test_attempts_that_came_to_nothing_are_the_rows_that_optuna_writes(place):
    attempts = [KILLED, FULL]
    with writing(made(place())) as book:
        book.open_generation(0, 4, 0.0, GENOMES[:3])
        for attempt in attempts:
            book.add_attempt([0, 1], attempt)
        storage = book._storage
        trials = [
            storage.get_trial_id_from_study_id_trial_number(book._study_id, number) for number in range(3)
        ]
        study = optuna.load_study(study_name=study_name(book), storage=storage)
        plain = [attempt.to_json() for attempt in attempts]
        optuna.trial.Trial(study, trials[2]).set_user_attr("attempts", plain)
        with Session(storage.engine) as session:
            model = models.TrialUserAttributeModel
            rows = session.query(model).filter(model.trial_id.in_(trials))
            assert [(row.key, row.value_json) for row in rows] == [("attempts", json.dumps(plain))] * 3


def study_name(book: Ledger) -> str:
    return book._storage.get_study_name_from_id(book._study_id)


def test_a_trial_counts_its_attempts_and_keeps_its_result_clear_of_them(place):
    store = made(place())
    with writing(store) as book:
        book.open_generation(0, 4, 0.0, GENOMES[:4])
        book.add_attempt([0, 1], KILLED)
        book.add_attempt([1], FULL)
        book.close_cohort([Result(1, (0.5, 3.0), {}), Result(2, None, {"failure": "diverged"})])
        records = book.generations()[0].records
        assert [len(record.attempts) for record in records] == [1, 2, 0, 0]
        assert records[1].attempts == (KILLED, FULL)
        assert records[1].result == Result(1, (0.5, 3.0), {})
        study = hebbevo.Study(book)
    assert study.trials().attempts.tolist() == [1, 3, 1, 0]
    assert study.trials().repeatable.tolist() == [True, False, True, True]
    assert "attempts" not in study.front().columns


def test_optuna_reads_it_as_its_own_study(place):
    store = made(place())
    with writing(store) as book:
        book.open_generation(0, 4, 0.0, GENOMES)
        book.close_cohort([Result(2, (0.75, 12.5), DETAILS), Result(0, None, {}), STOPPED_EARLY])
        named = study_name(book)
    storage = storage_of(place())
    study = optuna.load_study(study_name=named, storage=storage)
    assert study.metric_names == ["accuracy", "survivors"]
    assert [typed(trial.params) for trial in study.trials] == [typed(genome) for genome in GENOMES]
    assert [trial.number for trial in study.best_trials] == [2]
    assert study.trials[2].user_attrs == DETAILS
    states = [TrialState.FAIL, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED]
    assert [trial.state for trial in study.trials[:4]] == states
    storage.engine.dispose()


def test_the_second_driver_is_told_who_is_the_first_and_since_when(place):
    store = made(place())
    who = f"@{socket.gethostname()} (process {os.getpid()}) has been searching it since 20"
    with store.held():
        with refused(str(store), who, "UTC", "wait for it", "another --study"), place().held():
            pytest.fail("held twice")
        assert reread(place()) == []  # whoever reads is welcome
    with place().held():
        pass


def test_a_hold_ends_with_an_error_in_it(place):
    store = made(place())
    with suppress(ZeroDivisionError), store.held():
        raise ZeroDivisionError
    with place().held():
        pass


@forks
def test_killed_at_any_moment_it_leaves_whole_generations_and_whole_cohorts(place, monkeypatch):
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.0)
    store, seen, rounds = made(place()), 0, 0
    moments = random.Random(0)
    here, there = multiprocessing.get_context("fork").Pipe()

    def write() -> None:
        mine = place()
        with mine.held():
            write_for_ever(mine, there)

    while rounds < 5 or (seen < 2 and rounds < 50):  # a busy machine may write little in a round
        rounds += 1
        with another_process(write):
            assert here.poll(30) and here.recv() == "writing"
            time.sleep(0.2 + 0.1 * moments.random())
        generations = reread(store)
        for generation in generations:
            assert [record.genome for record in generation.records] == GENOMES
            done = [record.result is not None for record in generation.records]
            assert done in ([True] * n + [False] * (7 - n) for n in (0, 3, 6, 7))
        assert len(generations) >= seen
        seen = len(generations)
    numbers = [record.number for generation in generations for record in generation.records]
    assert numbers == list(range(7 * len(generations)))
    assert seen > 1


# --- the lock of a file ---


def test_a_lock_does_not_name_the_one_who_was_killed(tmp_path, monkeypatch):
    path = tmp_path / "s.db"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with StudyFile(path).held():
        lock = path.with_name(".s.db.lock")
        told = json.loads(lock.read_text())
        assert told["pid"] == os.getpid()
        for stale in (
            json.dumps({**told, "pid": dead.pid}),
            json.dumps({**told, "host": "other"}),
            "{}",
            "",
            "1",
        ):
            lock.write_text(stale)  # as in the moment before the next holder has signed
            with refused(f"{path}: another search is writing to it; wait"), StudyFile(path).held():
                pytest.fail("held twice")
    assert lock.read_text() == "{}"


# --- claims ---


def test_a_claim_lasts_while_its_holder_lives_and_expires_when_it_is_silent(url, name, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 1.5)
    store = made(StudyDatabase(url, name))
    with store.held():
        until = time.monotonic() + 4
        while time.monotonic() < until:
            with refused("has been searching it"), StudyDatabase(url, name).held():
                pytest.fail("held twice")
            time.sleep(0.3)
    with StudyDatabase(url, name).held():
        pass


def shift(url: str, name: str, seconds: float) -> None:
    """Put the last beat of a claim into the past."""
    storage, study_id = StudyDatabase(url, name).open()
    with Session(storage.engine) as session, session.begin():
        row = (
            session.query(models.StudySystemAttributeModel).filter_by(study_id=study_id, key=lease.KEY).one()
        )
        told = json.loads(row.value_json)
        beat = pd.Timestamp(told["beat"]) - pd.Timedelta(seconds=seconds)
        row.value_json = json.dumps({**told, "beat": beat.isoformat()})
    storage.engine.dispose()


def test_a_claim_expires_after_a_minute_by_the_clock_of_the_database(url, name, monkeypatch):
    class Wrong(lease.datetime):  # a host whose clock is a year ahead
        @classmethod
        def now(cls, *_: object) -> Any:
            return pd.Timestamp.now("UTC") + pd.Timedelta(days=365)

    monkeypatch.setattr(lease, "datetime", Wrong)
    store = made(StudyDatabase(url, name))
    with store.held():
        shift(url, name, 50)
        with refused("was heard of 5", "60 s of silence"), StudyDatabase(url, name).held():
            pytest.fail("held twice")
        shift(url, name, 11)
        with StudyDatabase(url, name).held():
            pass


def test_a_driver_that_slept_and_lost_its_claim_cannot_write(url, name):
    slow, quick = made(StudyDatabase(url, name)), StudyDatabase(url, name)
    with slow.held(), Ledger.open(slow) as book:
        book.open_generation(0, 500, 0.0, GENOMES)
        shift(url, name, 100)
        with quick.held(), Ledger.open(quick) as other:
            for write in (
                lambda: book.open_generation(1, 500, 0.0, GENOMES),
                lambda: book.close_cohort([Result(0, (0.5, 1.0), {})]),
                lambda: book.add_attempt([0], KILLED),
            ):
                with refused(str(slow), f"(process {os.getpid()}) has held it since", "hebbevo resume"):
                    write()
            other.close_cohort([Result(0, (0.25, 2.0), {})])
        with refused("nobody holds it now"):
            book.close_cohort([Result(1, (0.5, 1.0), {})])
    (generation,) = reread(quick)
    assert [record.result for record in generation.records[:2]] == [Result(0, (0.25, 2.0), {}), None]


def test_a_driver_that_slept_and_was_not_missed_goes_on(url, name):
    store = made(StudyDatabase(url, name))
    with store.held(), Ledger.open(store) as book:
        shift(url, name, 100)
        book.open_generation(0, 500, 0.0, GENOMES)
        with refused("has been searching it"), StudyDatabase(url, name).held():
            pytest.fail("a write is a sign of life")


def test_nothing_is_written_without_a_claim(url, name):
    with Ledger.open(made(StudyDatabase(url, name))) as book:
        with refused("does not hold it"):
            book.open_generation(0, 500, 0.0, GENOMES)
        assert book.generations() == []


def test_of_many_drivers_that_begin_at_once_exactly_one_gets_the_study(url, name):
    made(StudyDatabase(url, name))
    barrier, over, held = threading.Barrier(6), threading.Event(), []

    def begin() -> None:
        barrier.wait()
        with suppress(StudyError), StudyDatabase(url, name).held():
            held.append(1)
            over.wait()

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    over.set()
    for thread in threads:
        thread.join()
    assert len(held) == 1


@forks
def test_many_may_make_the_tables_and_the_study_at_once(empty, name):
    results = multiprocessing.get_context("fork").Queue()

    def make(moment: float) -> None:
        time.sleep(max(0, moment - time.time()))
        try:
            made(StudyDatabase(empty, name))
            results.put("made")
        except BaseException as error:
            results.put(repr(error))

    moment = time.time() + 0.5
    processes = [multiprocessing.get_context("fork").Process(target=make, args=(moment,)) for _ in range(5)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == ["made"] * 5
    for process in processes:
        process.join()
    assert reread(StudyDatabase(empty, name)) == []


# --- a database that goes away ---


def cut(url: str) -> None:
    """End every other connection, as a server that starts again does."""
    with engine_of(url) as engine, engine.connect() as connection:
        if engine.name == "postgresql":
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            )
            return
        for (thread,) in connection.execute(
            text(
                "SELECT id FROM information_schema.processlist WHERE id <> connection_id()"
                " AND user = substring_index(current_user(), '@', 1)"
            )
        ).all():
            with suppress(OperationalError):
                connection.execute(text(f"KILL {thread}"))


def test_writing_goes_on_when_connections_are_cut(url, name):
    store = made(StudyDatabase(url, name))
    with store.held(), Ledger.open(store) as book:
        cut(url)
        book.open_generation(0, 500, 0.0, GENOMES)
        cuts = []

        def cut_once(*_: object) -> None:
            if not cuts:
                cuts.append(1)
                cut(url)

        event.listen(book._storage.engine, "commit", cut_once)  # in the middle of the transaction
        book.close_cohort([Result(number, (0.5, 1.0), DETAILS) for number in range(7)])
        assert cuts
    (generation,) = reread(store)
    assert all(record.result.details == DETAILS for record in generation.records)


@contextmanager
def answers_lost(book: Ledger, monkeypatch: pytest.MonkeyPatch, times: float) -> Iterator[None]:
    """The commits take place, but the connection is gone before the answer."""
    dialect, left = book._storage.engine.dialect, [times]
    real = dialect.do_commit

    def commit(connection: Any) -> None:
        real(connection)
        if left[0] > 0:
            left[0] -= 1
            raise OperationalError("server closed the connection unexpectedly", None, Exception())

    with monkeypatch.context() as patch:
        patch.setattr(dialect, "do_commit", commit)
        yield
    assert left[0] <= 0 or times == float("inf")


def test_what_was_committed_without_an_answer_is_not_written_twice(url, name, monkeypatch):
    store = made(StudyDatabase(url, name))
    with store.held(), Ledger.open(store) as book:
        with answers_lost(book, monkeypatch, 1):
            records = book.open_generation(0, 500, 0.0, GENOMES)
        assert [record.number for record in records] == list(range(7))
        with answers_lost(book, monkeypatch, 1):
            book.add_attempt([0, 1], KILLED)
        with answers_lost(book, monkeypatch, 2):
            book.close_cohort([Result(0, (0.5, 1.0), DETAILS)])
        records = book.open_generation(1, 500, 0.0, GENOMES[:2])
        assert [record.number for record in records] == [7, 8]
    first, second = reread(store)
    assert [record.attempts for record in first.records[:3]] == [(KILLED,)] * 2 + [()]
    assert first.records[0].result == Result(0, (0.5, 1.0), DETAILS)
    assert [record.number for record in first.records + second.records] == list(range(9))


def test_a_database_that_stays_away_is_one_line_and_the_study_goes_on_afterwards(url, name, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE_SECONDS", 1.0)
    store = made(StudyDatabase(url, name))
    with store.held(), Ledger.open(store) as book:
        began = time.monotonic()
        with (
            refused(str(store), "cannot be used", "then try again"),
            answers_lost(book, monkeypatch, float("inf")),
        ):
            book.open_generation(0, 500, 0.0, GENOMES)
        assert 0.5 < time.monotonic() - began < 5
    with writing(StudyDatabase(url, name)) as book:
        assert len(book.generations()) == 1  # it had been committed
        book.open_generation(1, 500, 0.0, GENOMES)


def test_a_mistake_in_what_is_written_is_not_tried_again(url, name):
    store = made(StudyDatabase(url, name))
    began = time.monotonic()
    with writing(store) as book:
        book.open_generation(0, 500, 0.0, GENOMES)
        with pytest.raises(TypeError):
            book.close_cohort([Result(0, (0.5, 3.0), {"no JSON": object()})])
        with refused("cannot be used"):
            book.open_generation(0, 500, 0.0, GENOMES)  # a second generation of this number
    assert time.monotonic() - began < 10


def test_a_study_that_somebody_deletes_is_one_line(url, name):
    store = made(StudyDatabase(url, name))
    with store.held(), Ledger.open(store) as book:
        optuna.delete_study(study_name=name, storage=book._storage)
        with refused(str(store), "somebody has deleted it"):
            book.open_generation(0, 500, 0.0, GENOMES)


# --- whole searches ---


def table(study: hebbevo.Study) -> pd.DataFrame:
    return study.trials().drop(columns="seconds")


def test_killed_and_resumed_in_a_database_it_is_the_study_of_a_file_that_was_never_killed(
    url: str, name: str, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = hebbevo.search(space, study=tmp_path / "s.db")
    command = [sys.executable, "-m", "hebbevo", "search", "--space", str(space), "--study", name]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HEBBEVO_STORAGE": url},
    ) as process:
        assert process.stderr is not None
        for _ in range(2):
            process.stderr.readline()
        process.kill()
    killed = hebbevo.open_study(name, url)
    assert len(killed.trials()) < 24 or (killed.trials().state == "running").any()
    with refused(name, f"(process {process.pid}) has been searching it since"):
        hebbevo.resume(name, storage=url)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.0)
    resumed = hebbevo.resume(name, storage=url, watch=lambda _: cut(url))  # and the server is not well
    pd.testing.assert_frame_equal(table(resumed), table(straight), check_exact=True)
    pd.testing.assert_frame_equal(
        table(hebbevo.search(space, study=name, storage=url)), table(straight), check_exact=True
    )
    assert (resumed.path, str(resumed.store)) == (None, f"{name} in {server.shown(url)}")


def test_a_database_has_room_for_many_studies_and_each_keeps_to_its_settings(url, space):
    names = [f"test-{uuid4().hex}" for _ in range(2)]
    for seed, name in enumerate(names):
        hebbevo.search(space, study=name, storage=url, trials=8, seed=seed)
    tables = [table(hebbevo.open_study(name, url)) for name in names]
    assert [len(trials) for trials in tables] == [8, 8]
    assert not tables[0].equals(tables[1])
    with refused(names[0], "was made with other settings (search.seed: 0 in the study, 1 here)"):
        hebbevo.search(space, study=names[0], storage=url, trials=8, seed=1)


# --- the command line ---


def password(url: str) -> str:
    return url.partition("://")[2].partition("@")[0].partition(":")[2]


def test_every_command_finds_a_study_in_a_database_and_says_how_to_go_on(run, url, name, space) -> None:
    where = server.shown(url)
    code, out, err = run("search", "--space", space, "--trials", 8, "--study", name, "--storage", url)
    assert code == 0
    assert f"study   {name} in {where}" in out
    assert f"report  studies/{name}-report/report.html" in out
    assert f"more    hebbevo resume {name} --storage '{where}' --trials 16" in out
    assert password(url) not in out + err
    code, out, err = run("resume", name, "--storage", url, "--trials", 16, "--quiet")
    assert (code, out, err) == (0, "", "")
    code, out, _ = run("front", name, "--storage", url, "--format", "json")
    front = hebbevo.open_study(name, url).front()
    assert [item["trial"] for item in json.loads(out)] == front.trial.tolist()
    code, out, _ = run("report", name, "--storage", url)
    assert out.split()[0] == f"studies/{name}-report/report.html"
    page = Path(out.split()[0]).read_text()
    assert f"Made by hebbevo from {name} in {where}." in page
    assert password(url) not in page
    assert not list(Path.cwd().rglob("*.db"))


def test_the_environment_may_name_the_database_and_then_names_are_enough(
    run, url, name, space, monkeypatch
) -> None:
    monkeypatch.setenv("HEBBEVO_STORAGE", url)
    space.write_text(space.read_text().replace("name: small", f"name: {name}"))
    _, out, err = run("search", "--space", space, "--timeout", "0.000001")
    assert err.splitlines()[-1].endswith(f"continue with 'hebbevo resume {name}'")
    assert out.splitlines()[-1] == f"more    hebbevo resume {name}"
    assert run("resume", name, "--trials", 8, "--quiet") == (0, "", "")
    code, out, _ = run("front", name, "--format", "csv")
    assert (code, out.split(",")[0]) == (0, "trial")


def test_what_is_written_as_a_path_is_a_file_whatever_the_environment_names(run, space, monkeypatch) -> None:
    monkeypatch.setenv("HEBBEVO_STORAGE", "postgresql://nobody@127.0.0.1:1/nothing")
    code, out, _ = run("search", "--space", space, "--trials", 8, "--study", "here/s.db")
    assert code == 0
    assert "more    hebbevo resume here/s.db --trials 16" in out
    for path in ("here/s.db", "./here/s.db"):
        assert run("front", path, "--format", "csv")[0] == 0
    assert run("report", "here/s.db")[0] == 0
    assert run("resume", "here/s.db", "--trials", 16, "--quiet")[0] == 0
    code, _, err = run("front", "s")
    assert code == 2
    assert err.startswith("s in postgresql://nobody@127.0.0.1:1/nothing: the database cannot be used")
    code, _, err = run("front", "here/s.db", "--storage", "postgresql://nobody@127.0.0.1:1/nothing")
    assert err.startswith("here/s.db in postgresql://")  # an option outdoes how the study is written


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("", "--storage: this is not the URL of a database; write postgresql://"),
        ("secret", "--storage: this is not the URL of a database; write postgresql://"),
        ("postgresql:/u:secret@h/d", "--storage: this is not the URL of a database"),
        ("postgresql://u:secret@h:port/d", "--storage: this is not the URL of a database"),
        (
            "postgres://u:secret@h/d",
            "--storage: 'postgres' is no kind of database that hebbevo can use; write",
        ),
        ("mssql://u:secret@h/d", "--storage: 'mssql' is no kind of database"),
        (
            "postgresql+nothing://u:secret@h/d",
            "the driver of postgresql+nothing is not installed",
        ),
        ("postgresql+pg8000://u:secret@h/d", 'pip install "hebbevo[postgresql]", and write postgresql://'),
        ("mysql+mysqldb://u:secret@h/d", 'pip install "hebbevo[mysql]"'),
        ("sqlite:///studies/s.db", "--storage: SQLite has no server; leave it out, and write the file"),
        (
            "postgresql://u:secret@127.0.0.1:1/d?password=secret",
            "s in postgresql://u:***@127.0.0.1:1/d?password=",
        ),
        ("mysql://u:secret@127.0.0.1:1/d", "Can't connect to MySQL server on '127.0.0.1'"),
    ],
)
@pytest.mark.parametrize("command", ["search", "resume", "front", "report"])
def test_a_storage_that_cannot_be_used_is_one_line_without_the_password(
    run, space, command, storage, message
) -> None:
    arguments = ["--space", space, "--study", "s"] if command == "search" else ["s"]
    code, out, err = run(command, *arguments, "--storage", storage)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert "secret" not in err
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("url", "driver"), [("postgresql://u:secret@h/d", "psycopg"), ("mysql://u:secret@h/d", "pymysql")]
)
def test_a_driver_that_is_missing_is_one_line_that_says_how_to_get_it(run, monkeypatch, url, driver) -> None:
    monkeypatch.setattr(server, "find_spec", lambda _: None)
    for module in (driver, "psycopg2", "MySQLdb"):
        monkeypatch.setitem(sys.modules, module, None)
    code, out, err = run("front", "s", "--storage", url)
    kind = url.partition(":")[0]
    assert (code, out) == (2, "")
    assert err == (
        f"--storage: the driver of {kind} is not installed; "
        f'pip install "hebbevo[{kind}]", and write {kind}://...\n'
    )


def test_the_help_names_the_variable(run) -> None:
    for command in ("search", "resume", "front", "report"):
        assert "HEBBEVO_STORAGE" in run(command, "--help")[1]


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "a\tb", "\udcff"])
def test_a_name_that_cannot_be_one_is_one_line(run, name) -> None:
    code, out, err = run("front", name, "--storage", "postgresql://u@127.0.0.1:1/d")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("--study: ") and "write 1 to 100 printable characters" in err


def test_a_wrong_password_or_database_is_one_line(run, url, space) -> None:
    user, _, rest = url.partition("@")
    for wrong in (f"{user[:-3]}xyz@{rest}", f"{url}-not-there"):
        for arguments in (["search", "--space", space], ["front", "s"], ["resume", "s"]):
            code, out, err = run(*arguments, "--storage", wrong)
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert "the database cannot be used (" in err and "check --storage and the server" in err
            assert user.rpartition(":")[2][:-3] not in err


def test_a_study_that_is_not_there_is_one_line_and_leaves_no_tables(run, empty, name) -> None:
    for command in ("front", "report", "resume"):
        code, out, err = run(command, name, "--storage", empty)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"{name} in " in err and f"no such study; 'hebbevo search --space SPACE --study {name}" in err
    with engine_of(empty) as engine, engine.connect() as connection:
        tables = connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
        assert tables.scalar_one() == 0


def test_a_study_of_somebody_else_is_one_line_and_stays_as_it_is(run, url, name, space) -> None:
    storage = storage_of(made(StudyDatabase(url, f"other-{name}")))
    study = optuna.create_study(storage=storage, study_name=name)
    for arguments in (["search", "--space", space, "--study", name], ["front", name], ["resume", name]):
        code, out, err = run(*arguments, "--storage", url)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "hebbevo did not make this study" in err
    assert (study.trials, study.user_attrs, storage.get_study_system_attrs(study._study_id)) == ([], {}, {})
    storage.engine.dispose()


def test_tables_of_another_optuna_are_one_line(run, empty, name) -> None:
    made(StudyDatabase(empty, name))
    with engine_of(empty) as engine, engine.connect() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v99'"))
    code, out, err = run("front", name, "--storage", empty)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "was made with another Optuna" in err


def test_a_password_may_hold_any_character_and_a_reader_needs_no_right_to_write(empty, name) -> None:
    made(StudyDatabase(empty, name))
    role, odd = f"reader_{uuid4().hex}", "p{%}@:/ ?#&ä'"
    with engine_of(empty) as engine, engine.connect() as connection:
        quoted = odd.replace("'", "''").replace(":", r"\:")
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{quoted}'"))
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"))
        url = server.make_url(empty).set(username=role, password=odd)
        store = StudyDatabase(url.render_as_string(hide_password=False), name)
        assert reread(store) == []
        with refused(str(store), "permission denied"), store.held():
            pytest.fail("held")
        connection.execute(text(f"DROP OWNED BY {role}; DROP ROLE {role}"))


# --- names ---


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("small", "small-report"),
        ("../../etc/x", ".._.._etc_x-report"),
        ("/", "_-report"),
        ("..", "..-report"),
        ("a b\\c:d", "a_b_c_d-report"),
        ("größe", "größe-report"),
    ],
)
def test_the_report_of_a_study_in_a_database_stays_among_the_studies(name, folder) -> None:
    store = find_store(name, "postgresql://u@h/d")
    assert store.report == driver.STUDIES / folder
    assert store.report.parent == driver.STUDIES


def test_a_command_line_names_a_store_so_that_a_shell_reads_it_back(monkeypatch) -> None:
    assert find_store("a b.db").command == "'a b.db'"
    url = "postgresql://u:pw@h:5/d?sslmode=require"
    shown = "'postgresql://u:***@h:5/d?sslmode=require'"
    assert find_store("it's", url).command == f"'it'\"'\"'s' --storage {shown}"
    monkeypatch.setenv("HEBBEVO_STORAGE", url)
    assert find_store("small", url).command == "small"
    assert find_store("a/small", url).command == f"a/small --storage {shown}"  # alone it would be a file
    assert find_store("small", "postgresql://u@other/d").command == "small --storage postgresql://u@other/d"
