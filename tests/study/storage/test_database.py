"""A study in a database: connections that are cut, commits without an answer, and whole searches."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import optuna
import pandas as pd
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError

import hebbevo
from hebbevo.study.ledger import Result
from hebbevo.study.storage import StudyDatabase, database, lease
from hebbevo.study.storage.database_url import without_passwords
from tests.study.conftest import CRASHED, DETAILS, GENOMES, refused, reread, result
from tests.study.storage.conftest import created, cut_connections, writing, writing_with_storage


def test_writing_continues_when_connections_are_cut(url, name):
    store = created(StudyDatabase(url, name))
    with writing_with_storage(store) as (ledger, storage, _):
        cut_connections(url)
        ledger.open_generation(0, 500, 0.0, GENOMES)
        cuts = []

        def cut_once(*_: object) -> None:
            if not cuts:
                cuts.append(1)
                cut_connections(url)

        event.listen(storage.engine, "commit", cut_once)  # in the middle of the transaction
        ledger.close_cohort([Result(number, (0.5, 1.0), DETAILS) for number in range(7)])
        assert cuts
    (generation,) = reread(store)
    assert all(record.result.details == DETAILS for record in generation.records)


@contextmanager
def answers_lost(storage: RDBStorage, monkeypatch: pytest.MonkeyPatch, times: float) -> Iterator[None]:
    """Commits take place, but the connection is lost before the answer."""
    dialect, left = storage.engine.dialect, [times]
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
    store = created(StudyDatabase(url, name))
    with writing_with_storage(store) as (ledger, storage, _):
        with answers_lost(storage, monkeypatch, 1):
            opened = ledger.open_generation(0, 500, 0.0, GENOMES)
        assert [record.number for record in opened] == list(range(7))
        with answers_lost(storage, monkeypatch, 1):
            ledger.add_attempt([0, 1], CRASHED)
        with answers_lost(storage, monkeypatch, 2):
            ledger.close_cohort([Result(0, (0.5, 1.0), DETAILS)])
        opened = ledger.open_generation(1, 500, 0.0, GENOMES[:2])
        assert [record.number for record in opened] == [7, 8]
    first, second = reread(store)
    assert [record.attempts for record in first.records[:3]] == [(CRASHED,)] * 2 + [()]
    assert first.records[0].result == Result(0, (0.5, 1.0), DETAILS)
    assert [record.number for record in first.records + second.records] == list(range(9))


def test_an_unreachable_database_is_an_error_of_one_line_and_the_study_continues_afterwards(
    url, name, monkeypatch
):
    monkeypatch.setattr(database, "RETRY_SECONDS", 1.0)
    store = created(StudyDatabase(url, name))
    with writing_with_storage(store) as (ledger, storage, _):
        began = time.monotonic()
        with (
            refused(str(store), "cannot be used", "then try again"),
            answers_lost(storage, monkeypatch, float("inf")),
        ):
            ledger.open_generation(0, 500, 0.0, GENOMES)
        assert 0.5 < time.monotonic() - began < 5
    with writing(StudyDatabase(url, name)) as ledger:
        assert len(ledger.generations()) == 1  # it had been committed
        ledger.open_generation(1, 500, 0.0, GENOMES)


def test_a_write_that_cannot_succeed_is_not_tried_again(url, name):
    store = created(StudyDatabase(url, name))
    with writing_with_storage(store) as (ledger, storage, _):
        ledger.open_generation(0, 500, 0.0, GENOMES)
        with pytest.raises(TypeError):
            ledger.close_cohort([result(0, (0.5, 3.0), notes=[object()])])
        tries = []

        def refuse(*_: object) -> None:
            tries.append(1)
            raise IntegrityError("a row of this key is there already", None, Exception())

        event.listen(storage.engine, "commit", refuse)
        with refused("cannot be used"):
            ledger.open_generation(1, 500, 0.0, GENOMES)
        event.remove(storage.engine, "commit", refuse)
        assert len(tries) == 1
        with refused("has 1 generations now"):
            ledger.open_generation(0, 500, 0.0, GENOMES)  # another search has begun it


def test_a_study_that_is_deleted_during_a_search_is_an_error_of_one_line(url, name):
    store = created(StudyDatabase(url, name))
    with writing_with_storage(store) as (ledger, storage, _):
        optuna.delete_study(study_name=name, storage=storage)
        with refused(str(store), "the study has been deleted"):
            ledger.open_generation(0, 500, 0.0, GENOMES)


# --- whole searches ---


def table(study: hebbevo.Study) -> pd.DataFrame:
    return study.trials().drop(columns="seconds")


def test_killed_and_resumed_in_a_database_it_is_the_study_of_a_file_that_was_never_killed(
    url: str, name: str, space: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = hebbevo.open_study(uninterrupted)
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
    resumed = hebbevo.resume(name, storage=url, watch=lambda _: cut_connections(url))
    pd.testing.assert_frame_equal(table(resumed), table(straight), check_exact=True)
    pd.testing.assert_frame_equal(
        table(hebbevo.search(space, study=name, storage=url)), table(straight), check_exact=True
    )
    assert (resumed.path, str(resumed.store)) == (None, f"{name} in {without_passwords(url)}")


def test_a_database_has_room_for_many_studies_and_each_keeps_its_settings(url, space):
    names = [f"test-{uuid4().hex}" for _ in range(2)]
    for seed, name in enumerate(names):
        hebbevo.search(space, study=name, storage=url, trials=8, seed=seed)
    tables = [table(hebbevo.open_study(name, url)) for name in names]
    assert [len(trials) for trials in tables] == [8, 8]
    assert not tables[0].equals(tables[1])
    with refused(names[0], "was made with other settings (search.seed: 0 in the study, 1 here)"):
        hebbevo.search(space, study=names[0], storage=url, trials=8, seed=1)
