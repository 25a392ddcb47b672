"""What a study file and a study in a database have in common: one contract for all places."""

import json
import multiprocessing
import os
import random
import socket
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import event, select
from sqlalchemy.orm import Session

import hebbevo
from hebbevo.spec import Spec
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Ledger, Result
from hebbevo.study.storage import Store, StudyDatabase, StudyFile, find_place, lease
from hebbevo.study.storage.study_tables import settings_checksum
from hebbevo.study.study_names import STUDIES
from hebbevo.training.trial_details import TrialDetails
from tests.study.conftest import (
    CRASHED,
    DETAILS,
    FACTS,
    FAILED,
    GENOMES,
    SPEC,
    STOPPED,
    Opened,
    another_process,
    assert_whole,
    create,
    records,
    refused,
    reread,
    result,
    typed,
    uses_fork,
    write_until_killed,
)
from tests.study.storage.conftest import (
    OUT_OF_MEMORY,
    created,
    storage_of,
    writing,
    writing_with_storage,
)


def replace_name(store: Store) -> Store:
    """The same place, but for a name that no study has."""
    if isinstance(store, StudyFile):
        return StudyFile(store.path.with_name("other.db"))
    assert isinstance(store, StudyDatabase)
    store.name = "other"
    return store


def study_name(opened: Opened) -> str:
    return opened.storage.get_study_name_from_id(opened.study_id)


def test_a_study_exists_once_it_is_created_and_a_second_creation_leaves_it_alone(place):
    assert not place().exists()
    with refused(str(place()), "no such study"):
        place().open()
    create(place())
    assert place().exists()
    other = Spec.model_validate(SPEC.to_json() | {"name": "other"})
    with Ledger.create(place(), other, StudyFacts(versions={}, neurons=1, chance=0.0)) as ledger:
        assert (ledger.spec, ledger.facts, ledger.generations()) == (SPEC, FACTS, [])


def test_what_is_written_comes_back_bit_for_bit(place):
    with writing(created(place())) as ledger:
        asked = ledger.open_generation(0, 500, 0.1 + 0.2, GENOMES)
        ledger.close_cohort([Result(1, (0.1 + 0.2, 1 / 3), DETAILS), FAILED, STOPPED])
        ledger.open_generation(1, 12, 1 / 3, GENOMES[:2])
    first, second = reread(place())
    assert (first.number, first.total, first.progress) == (0, 500, 0.1 + 0.2)
    assert (second.number, second.total, second.progress) == (1, 12, 1 / 3)
    assert [record.number for record in asked] == list(range(len(GENOMES)))
    found = first.records + second.records
    assert [record.number for record in found] == list(range(len(GENOMES) + 2))
    for record, genome in zip(found, GENOMES + GENOMES[:2], strict=True):
        assert typed(record.genome) == typed(genome)
    assert {record.number: record.result for record in found if record.result} == {
        1: Result(1, (0.1 + 0.2, 1 / 3), DETAILS),
        2: FAILED,
        3: STOPPED,
    }


def test_other_studies_in_one_place_and_trials_of_other_programs_are_kept_apart(place):
    with writing_with_storage(created(place())) as opened:
        ledger, storage, _ = opened
        ledger.open_generation(0, 500, 0.0, GENOMES[:2])
        other = optuna.create_study(storage=storage, study_name=uuid4().hex)
        trial = optuna.create_trial(
            value=1.0, params={"rate": 0.5}, distributions={"rate": FloatDistribution(0.0, 1.0)}
        )
        other.add_trial(trial)
        study = optuna.load_study(study_name=study_name(opened), storage=storage)
        study.add_trial(optuna.create_trial(values=[1.0, 2.0], user_attrs={"mine": 1}))
        ledger.close_cohort([result(1, (1.0, 3.0), notes=["ä"])])
        ledger.open_generation(1, 500, 0.5, GENOMES[2:4])
    found = records(reread(place()))
    assert [record.number for record in found] == [0, 1, 3, 4]
    assert [typed(record.genome) for record in found] == [typed(genome) for genome in GENOMES[:4]]
    recorded = result(1, (1.0, 3.0), notes=["ä"])
    assert [record.result for record in found] == [None, recorded, None, None]


def test_facts_and_details_may_be_long(place):
    long = [0.1 + 0.2] * 20_000  # the means of a colour image are 64 KB and more
    store = place()
    create(store, facts=replace(FACTS, mean=tuple(long)))
    recorded = result(0, (0.5, 1.0), accuracy_per_epoch=long, survivors_per_epoch=long)
    with writing(store) as ledger:
        ledger.open_generation(0, 1, 0.0, GENOMES[:1])
        ledger.close_cohort([recorded])
        assert ledger.facts.mean == tuple(long)
    assert reread(place())[0].records[0].result == recorded


def test_a_generation_a_cohort_and_an_attempt_are_one_transaction_each(place):
    commits: list[object] = []
    with writing_with_storage(created(place())) as (ledger, storage, _):
        event.listen(storage.engine, "commit", commits.append)
        ledger.open_generation(0, 500, 0.0, GENOMES * 20)
        assert len(commits) == 1
        ledger.add_attempt(range(140), CRASHED)
        assert len(commits) == 2
        ledger.close_cohort([Result(number, (0.5, 3.0), DETAILS) for number in range(140)])
        assert len(commits) == 3


def test_half_a_generation_is_never_written(place):
    store = created(place())
    with pytest.raises(KeyError, match="unknown gene"), writing(store) as ledger:
        ledger.open_generation(0, 500, 0.0, [*GENOMES[:4], {"unknown gene": 1.0}, *GENOMES[5:]])
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
    storage, study_id = created(place()).open()
    directions = ["maximize", "minimize"]
    study = optuna.create_study(storage=storage, directions=directions, study_name=uuid4().hex)
    study.set_metric_names(["accuracy", "survivors"])
    study.set_user_attr("hebbevo:spec", SPEC.to_json())
    study.set_user_attr("hebbevo:facts", FACTS.to_json())
    settings = {"hebbevo:spec": SPEC.to_json(), "hebbevo:facts": FACTS.to_json()}
    study.set_user_attr("hebbevo:checksum", settings_checksum(settings))
    optuna_id = storage.get_study_id_from_name(study.study_name)
    assert contents(storage, study_id) == contents(storage, optuna_id)
    storage.engine.dispose()


def test_failed_attempts_are_the_rows_that_optuna_writes(place):
    attempts = [CRASHED, OUT_OF_MEMORY]
    with writing_with_storage(created(place())) as opened:
        ledger, storage, study_id = opened
        ledger.open_generation(0, 4, 0.0, GENOMES[:3])
        for attempt in attempts:
            ledger.add_attempt([0, 1], attempt)
        trials = [storage.get_trial_id_from_study_id_trial_number(study_id, number) for number in range(3)]
        study = optuna.load_study(study_name=study_name(opened), storage=storage)
        plain = [attempt.to_json() for attempt in attempts]
        optuna.trial.Trial(study, trials[2]).set_user_attr("attempts", plain)
        with Session(storage.engine) as session:
            model = models.TrialUserAttributeModel
            rows = session.query(model).filter(model.trial_id.in_(trials))
            assert [(row.key, row.value_json) for row in rows] == [("attempts", json.dumps(plain))] * 3


def test_a_trial_counts_its_attempts_and_keeps_them_apart_from_its_result(place):
    store = created(place())
    with writing(store) as ledger:
        ledger.open_generation(0, 4, 0.0, GENOMES[:4])
        ledger.add_attempt([0, 1], CRASHED)
        ledger.add_attempt([1], OUT_OF_MEMORY)
        ledger.close_cohort([result(1, (0.5, 3.0)), FAILED])
        found = ledger.generations()[0].records
        assert [len(record.attempts) for record in found] == [1, 2, 0, 0]
        assert found[1].attempts == (CRASHED, OUT_OF_MEMORY)
        assert found[1].result == result(1, (0.5, 3.0))
        study = hebbevo.Study(ledger)
    assert study.trials().attempts.tolist() == [1, 3, 1, 0]
    assert study.trials().repeatable.tolist() == [True, False, True, True]
    assert "attempts" not in study.front().columns


def test_optuna_reads_it_as_its_own_study(place):
    store = created(place())
    with writing_with_storage(store) as opened:
        opened.ledger.open_generation(0, 4, 0.0, GENOMES)
        opened.ledger.close_cohort([Result(2, (0.75, 12.5), DETAILS), result(0, None), STOPPED])
        name = study_name(opened)
    storage = storage_of(place())
    study = optuna.load_study(study_name=name, storage=storage)
    assert study.metric_names == ["accuracy", "survivors"]
    assert [typed(trial.params) for trial in study.trials] == [typed(genome) for genome in GENOMES]
    assert [trial.number for trial in study.best_trials] == [2]
    assert TrialDetails.from_json(study.trials[2].user_attrs) == DETAILS
    states = [TrialState.FAIL, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED]
    assert [trial.state for trial in study.trials[:4]] == states
    storage.engine.dispose()


def test_a_second_search_is_refused_with_the_process_that_has_the_lock_and_the_time(place):
    store = created(place())
    process = f"@{socket.gethostname()} (process {os.getpid()}) has been searching it since 20"
    with store.locked():
        with refused(str(store), process, "UTC", "wait for it", "another --study"), place().locked():
            pytest.fail("locked twice")
        assert reread(place()) == []  # the lock does not stop readers
    with place().locked():
        pass


def test_the_process_that_has_the_lock_is_known_to_others_and_nothing_is_locked_by_asking(place):
    store = created(place())
    assert place().searcher() is None
    process = f"@{socket.gethostname()} (process {os.getpid()}) has been searching it since 20"
    with store.locked():
        assert process in place().searcher()
    assert place().searcher() is None
    with place().locked():
        pass


def test_a_study_can_be_looked_at_without_the_checks_of_optuna(place):
    store = created(place())
    with store.reading() as (connection, study_id):
        studies = models.StudyModel.__table__
        found = connection.execute(select(studies.c.study_name).where(studies.c.study_id == study_id)).all()
    assert len(found) == 1
    with refused("no such study"), replace_name(place()).reading():
        pytest.fail("opened")


def test_a_lock_ends_with_an_error_in_its_block(place):
    store = created(place())
    with suppress(ZeroDivisionError), store.locked():
        raise ZeroDivisionError
    with place().locked():
        pass


@uses_fork
def test_a_kill_at_any_moment_leaves_whole_generations_and_whole_cohorts(place, monkeypatch):
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.0)
    store, seen, rounds = created(place()), 0, 0
    rng = random.Random(0)
    here, there = multiprocessing.get_context("fork").Pipe()

    def write() -> None:
        store = place()
        with store.locked():
            write_until_killed(store, there)

    while rounds < 5 or (seen < 2 and rounds < 50):  # a busy machine may write little in a round
        rounds += 1
        with another_process(write):
            assert here.poll(30) and here.recv() == "writing"
            time.sleep(0.2 + 0.1 * rng.random())
        generations = reread(store)
        assert_whole(generations)
        assert len(generations) >= seen
        seen = len(generations)
    assert seen > 1


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
def test_the_report_of_a_study_in_a_database_is_in_the_folder_of_studies(name, folder) -> None:
    store = find_place(name, "postgresql://u@h/d")
    assert store.report == STUDIES / folder
    assert store.report.parent == STUDIES


def test_a_shell_reads_back_how_a_command_line_names_a_store(monkeypatch) -> None:
    assert find_place("a b.db").command == "'a b.db'"
    url = "postgresql://u:pw@h:5/d?sslmode=require"
    shown = "'postgresql://u:***@h:5/d?sslmode=require'"
    assert find_place("it's", url).command == f"'it'\"'\"'s' --storage {shown}"
    monkeypatch.setenv("HEBBEVO_STORAGE", url)
    assert find_place("small", url).command == "small"
    assert find_place("a/small", url).command == f"a/small --storage {shown}"  # alone it would be a file
    assert find_place("small", "postgresql://u@other/d").command == "small --storage postgresql://u@other/d"
