"""The lease on a study in a database: how long it lasts, and which process may write."""

import json
import multiprocessing
import os
import threading
import time
from contextlib import suppress
from typing import Any

import pandas as pd
import pytest
from optuna.storages._rdb import models
from sqlalchemy.orm import Session

from hebbevo.errors import StudyError
from hebbevo.study.ledger import Ledger
from hebbevo.study.storage import StudyDatabase, lease
from tests.study.conftest import CRASHED, GENOMES, create, refused, reread, result, uses_fork
from tests.study.storage.conftest import created


def age_lease(url: str, name: str, seconds: float) -> None:
    """Move the last renewal of a lease into the past."""
    storage, study_id = StudyDatabase(url, name).open()
    with Session(storage.engine) as session, session.begin():
        row = (
            session.query(models.StudySystemAttributeModel).filter_by(study_id=study_id, key=lease.KEY).one()
        )
        entries = json.loads(row.value_json)
        beat = pd.Timestamp(entries["beat"]) - pd.Timedelta(seconds=seconds)
        row.value_json = json.dumps({**entries, "beat": beat.isoformat()})
    storage.engine.dispose()


def test_a_lease_lasts_while_its_process_lives_and_ends_with_its_block(url, name, monkeypatch):
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.2)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 1.5)
    store = created(StudyDatabase(url, name))
    with store.locked():
        until = time.monotonic() + 4
        while time.monotonic() < until:
            with refused("has been searching it"), StudyDatabase(url, name).locked():
                pytest.fail("locked twice")
            time.sleep(0.3)
    with StudyDatabase(url, name).locked():
        pass


def test_a_lease_expires_after_a_minute_by_the_clock_of_the_database(url, name, monkeypatch):
    class Wrong(lease.datetime):  # a host whose clock is a year ahead
        @classmethod
        def now(cls, *_: object) -> Any:
            return pd.Timestamp.now("UTC") + pd.Timedelta(days=365)

    monkeypatch.setattr(lease, "datetime", Wrong)
    store = created(StudyDatabase(url, name))
    with store.locked():
        age_lease(url, name, 50)
        with (
            refused("renewed its lease 5", "without renewal a lease expires after 60 s"),
            StudyDatabase(url, name).locked(),
        ):
            pytest.fail("locked twice")
        assert "has been searching it since" in (StudyDatabase(url, name).searcher() or "")
        age_lease(url, name, 11)
        assert StudyDatabase(url, name).searcher() is None
        with StudyDatabase(url, name).locked():
            pass


def test_a_process_that_slept_and_lost_its_lease_cannot_write(url, name):
    slow, quick = created(StudyDatabase(url, name)), StudyDatabase(url, name)
    with slow.locked(), Ledger.open(slow) as ledger:
        ledger.open_generation(0, 500, 0.0, GENOMES)
        age_lease(url, name, 100)
        with quick.locked(), Ledger.open(quick) as other:
            for write in (
                lambda: ledger.open_generation(1, 500, 0.0, GENOMES),
                lambda: ledger.close_cohort([result(0, (0.5, 1.0))]),
                lambda: ledger.add_attempt([0], CRASHED),
            ):
                with refused(str(slow), f"(process {os.getpid()}) has had it since", "hebbevo resume"):
                    write()
            other.close_cohort([result(0, (0.25, 2.0))])
        with refused("no process has it now"):
            ledger.close_cohort([result(1, (0.5, 1.0))])
    (generation,) = reread(quick)
    assert [record.result for record in generation.records[:2]] == [result(0, (0.25, 2.0)), None]


def test_a_process_that_slept_and_kept_its_lease_writes_on_and_so_renews_it(url, name):
    store = created(StudyDatabase(url, name))
    with store.locked(), Ledger.open(store) as ledger:
        age_lease(url, name, 100)
        ledger.open_generation(0, 500, 0.0, GENOMES)
        with refused("has been searching it"), StudyDatabase(url, name).locked():
            pytest.fail("a write renews the lease")


def test_without_a_lease_nothing_is_written(url, name):
    with Ledger.open(created(StudyDatabase(url, name))) as ledger:
        with refused("has lost its lease"):
            ledger.open_generation(0, 500, 0.0, GENOMES)
        assert ledger.generations() == []


def test_of_many_searches_that_begin_at_once_exactly_one_gets_the_study(url, name):
    create(StudyDatabase(url, name))
    barrier, ended, successes = threading.Barrier(6), threading.Event(), []

    def begin() -> None:
        barrier.wait()
        with suppress(StudyError), StudyDatabase(url, name).locked():
            successes.append(1)
            ended.wait()

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    ended.set()
    for thread in threads:
        thread.join()
    assert len(successes) == 1


@uses_fork
def test_many_processes_may_make_the_tables_and_the_study_at_once(empty_database, name):
    results = multiprocessing.get_context("fork").Queue()

    def make(moment: float) -> None:
        time.sleep(max(0, moment - time.time()))
        try:
            create(StudyDatabase(empty_database, name))
            results.put("created")
        except BaseException as error:
            results.put(repr(error))

    moment = time.time() + 0.5
    processes = [multiprocessing.get_context("fork").Process(target=make, args=(moment,)) for _ in range(5)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == ["created"] * 5
    for process in processes:
        process.join()
    assert reread(StudyDatabase(empty_database, name)) == []
