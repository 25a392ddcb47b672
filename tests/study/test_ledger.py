"""The ledger in a study file, against Optuna itself, and against kills and failures at any moment."""

import contextlib
import json
import math
import multiprocessing
import random
import signal
import sqlite3
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.orm import Session

from hebbevo.spec import Spec
from hebbevo.study.ledger import Generation, Ledger, Result
from hebbevo.study.storage import StudyFile
from hebbevo.study.view import open_study
from hebbevo.training.trial_details import EarlyStop, TrialDetails
from tests.study.conftest import (
    CRASHED,
    DETAILS,
    DISTRIBUTIONS,
    FACTS,
    FAILED,
    GENOMES,
    SPEC,
    another_process,
    assert_whole,
    details,
    die_at_commit,
    open_with_storage,
    records,
    reread,
    result,
    typed,
    uses_fork,
    without_checksums,
    write_until_killed,
)

# --- the round trip ---


def test_a_new_study_is_empty_and_keeps_its_settings_and_facts(path):
    with Ledger.create(path, SPEC, FACTS) as ledger:
        assert (ledger.spec, ledger.facts, ledger.generations()) == (SPEC, FACTS, [])
    with Ledger.open(path) as ledger:
        assert (ledger.spec, ledger.facts, ledger.generations()) == (SPEC, FACTS, [])
    assert {file.name for file in path.parent.iterdir()} == {"run.db", ".run.db.lock"}


def test_generations_come_back_as_they_were_written_bit_for_bit(ledger, path):
    ledger.open_generation(0, 500, 0.0, GENOMES)
    ledger.close_cohort([Result(1, (0.1 + 0.2, 1 / 3), DETAILS), FAILED])
    ledger.open_generation(1, 12, 0.1 + 0.2, GENOMES[:2])
    first, second = reread(path)
    assert (first.number, first.total, first.progress) == (0, 500, 0.0)
    assert (second.number, second.total, second.progress) == (1, 12, 0.1 + 0.2)
    assert [record.number for record in first.records + second.records] == list(range(9))
    for record, genome in zip(first.records + second.records, GENOMES + GENOMES[:2], strict=True):
        assert typed(record.genome) == typed(genome)
    results = {record.number: record.result for record in first.records + second.records if record.result}
    assert results == {1: Result(1, (0.1 + 0.2, 1 / 3), DETAILS), 2: FAILED}


def test_a_ledger_records_the_results_of_trials_that_an_earlier_one_has_opened(ledger, path):
    ledger.open_generation(0, 500, 0.0, GENOMES)
    done = [Result(4, (0.1 + 0.2, 1 / 3), DETAILS), FAILED]
    with Ledger.open(path) as resumed:
        resumed.add_attempt([4, 1], CRASHED)
        resumed.close_cohort(done)
        assert resumed.generations() == reread(path)
    found = records(reread(path))
    assert [record.result for record in found] == [None, None, FAILED, None, done[0], None, None]
    assert [record.attempts for record in found] == [(), (CRASHED,), (), (), (CRASHED,), (), ()]


def test_what_open_generation_returns_is_what_the_file_holds(ledger, path):
    opened = ledger.open_generation(0, 500, 0.0, GENOMES)
    assert reread(path) == [Generation(0, 500, 0.0, tuple(opened))]
    assert all(record.result is None for record in opened)


def test_every_number_comes_back_as_optuna_itself_reads_it(ledger, path, optuna_study):
    odd = details(
        accuracy_per_epoch=[math.nextafter(1, 0), 5e-324],
        survivors_per_epoch=[1e300, 0.1 + 0.2],
        seconds=-0.0,
        inputs=5e-324,
        neurons=2**53,
        replicates=[{"survivors": 1}],
    )
    values = [(math.nextafter(1, 0), 1e300), (1 / 3, 5e-324), (1, 2)]
    ledger.open_generation(0, 500, 0.0, GENOMES)
    ledger.close_cohort([Result(number, value, odd) for number, value in enumerate(values)])
    found = records(reread(path))
    for record, trial in zip(found, optuna_study(path).trials, strict=True):
        assert (record.number, repr(record.genome)) == (trial.number, repr(trial.params))
        assert (record.result is None) == (trial.state is TrialState.RUNNING)
        if record.result:
            assert repr(list(record.result.values)) == repr(trial.values)
            plain = record.result.details.to_json()
            assert repr(sorted(plain.items())) == repr(sorted(trial.user_attrs.items()))
            assert repr(record.result.details) == repr(odd)
    assert [repr(record.result.values) for record in found[:3]] == [
        "(0.9999999999999999, 1e+300)",
        "(0.3333333333333333, 5e-324)",
        "(1.0, 2.0)",
    ]


def test_a_stopped_trial_is_pruned_for_optuna_and_comes_back_as_it_was(ledger, path, optuna_study):
    stop = EarlyStop(3, None, "beaten")
    stopped = result(0, None, stopped=stop, accuracy_per_epoch=[0.1, 0.2, 0.3], survivors_per_epoch=[3] * 3)
    failed = result(1, None, failure="diverged")
    complete = result(2, (0.5, 1.0), stopped=stop)
    ledger.open_generation(0, 500, 0.0, GENOMES)
    ledger.close_cohort([stopped, failed, complete])
    assert [record.result for record in records(reread(path))[:4]] == [stopped, failed, complete, None]
    study = optuna_study(path)
    states = [TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE, TrialState.RUNNING]
    assert [trial.state for trial in study.trials[:4]] == states
    assert study.trials[0].values is None
    assert TrialDetails.from_json(study.trials[0].user_attrs) == stopped.details
    assert study.trials[0].datetime_complete is not None
    assert [trial.number for trial in study.best_trials] == [2]


def test_an_empty_cohort_changes_nothing(ledger, path):
    ledger.open_generation(0, 500, 0.0, GENOMES)
    before = reread(path)
    ledger.close_cohort([])
    assert reread(path) == before


def test_the_earliest_studies_did_not_record_the_progress_which_is_then_the_part_of_trials(ledger, path):
    ledger.open_generation(0, 28, 0.5, GENOMES)
    ledger.open_generation(1, 28, 0.5, GENOMES)
    ledger.open_generation(2, 56, 0.5, GENOMES)
    without_checksums(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "UPDATE study_user_attributes SET value_json = json_remove(value_json, '$.progress')"
            " WHERE key LIKE 'hebbevo:generation:%'"
        )
        connection.commit()
    assert [generation.progress for generation in reread(path)] == [0.0, 7 / 28, 14 / 56]


# --- Optuna ---


def test_optuna_reads_the_file_as_its_own_study(ledger, path, optuna_study):
    ledger.open_generation(0, 500, 0.0, GENOMES)
    failed = result(0, None, failure="diverged")
    ledger.close_cohort([Result(2, (0.75, 12.5), DETAILS), failed])
    study = optuna_study(path)
    assert study.study_name == "trial-run"
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["accuracy", "survivors"]
    trials = study.trials
    assert [trial.number for trial in trials] == list(range(len(GENOMES)))
    for trial, genome in zip(trials, GENOMES, strict=True):
        assert typed(trial.params) == typed(genome)
        assert trial.distributions == {name: DISTRIBUTIONS[name] for name in genome}
        assert trial.datetime_start is not None
        assert (trial.datetime_complete is not None) == trial.state.is_finished()
    running = [TrialState.RUNNING] * 4
    assert [t.state for t in trials] == [TrialState.FAIL, TrialState.RUNNING, TrialState.COMPLETE, *running]
    assert trials[2].values == [0.75, 12.5]
    assert TrialDetails.from_json(trials[2].user_attrs) == DETAILS
    assert trials[0].user_attrs == {"failure": "diverged", "seconds": 0.0}
    assert trials[0].values is None
    assert [trial.number for trial in study.best_trials] == [2]


def test_optuna_writes_the_same_rows(ledger, path, tmp_path, optuna_storage):
    """The same trials by Optuna's public interface leave the same content in its tables."""
    genomes = [genome for genome in GENOMES if genome["kind"] not in (True, False)]  # Optuna takes 1 for True
    ledger.open_generation(0, 500, 0.0, genomes)
    ledger.close_cohort([Result(number, (0.5, number / 3), DETAILS) for number in range(len(genomes))])
    other = tmp_path / "optuna.db"
    study = optuna.create_study(storage=optuna_storage(other), directions=["maximize", "minimize"])
    with contextlib.closing(sqlite3.connect(path)) as connection:
        sums = connection.execute(
            "SELECT value_json FROM trial_system_attributes WHERE key = 'hebbevo:checksum' ORDER BY trial_id"
        ).fetchall()
    for number, genome in enumerate(genomes):
        trial = optuna.create_trial(
            values=[0.5, number / 3],
            params=genome,
            distributions={name: DISTRIBUTIONS[name] for name in genome},
            user_attrs=DETAILS.to_json(),
            system_attrs={"hebbevo:generation": 0, "hebbevo:checksum": json.loads(sums[number][0])},
        )
        study.add_trial(trial)

    def rows(file: Path) -> dict[str, list[tuple[object, ...]]]:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            queries = {
                "trials": "SELECT trial_id, number, study_id, state FROM trials",
                "params": "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params",
                "values": "SELECT trial_id, objective, value, value_type FROM trial_values",
                "user": "SELECT trial_id, key, value_json FROM trial_user_attributes",
                "system": "SELECT trial_id, key, value_json FROM trial_system_attributes",
            }
            return {name: sorted(connection.execute(query)) for name, query in queries.items()}

    assert rows(path) == rows(other)


def test_for_optuna_the_trials_that_meet_the_constraints_are_feasible_and_best(path, optuna_study):
    spec = Spec.model_validate(
        SPEC.to_json() | {"constraints": {"accuracy": {"min": 0.5}, "survivors": {"max": 10}}}
    )
    rng = random.Random(0)
    values = [(rng.random(), float(rng.randrange(21))) for _ in range(40)]
    with Ledger.create(path, spec, FACTS) as ledger:
        ledger.open_generation(0, 500, 0.0, GENOMES[:1] * 42)
        ledger.close_cohort([result(number, value) for number, value in enumerate(values)])
        ledger.close_cohort([result(40, None, failure="diverged")])
    study = optuna_study(path)
    for trial, (accuracy, survivors) in zip(study.trials[:40], values, strict=True):
        violations = (0.5 - accuracy, (survivors - 10) / 10)
        assert tuple(trial.constraints.values()) == pytest.approx(violations)
    assert [trial.constraints for trial in study.trials[40:]] == [{}, {}]
    feasible = {number for number, (a, s) in enumerate(values) if a >= 0.5 and s <= 10}
    assert 0 < len(feasible) < 40
    assert {
        trial.number for trial in study.trials[:40] if all(miss <= 0 for miss in trial.constraints.values())
    } == feasible
    best = {
        number
        for number in feasible
        if not any(
            values[other][0] >= values[number][0]
            and values[other][1] <= values[number][1]
            and values[other] != values[number]
            for other in feasible
        )
    }
    assert {trial.number for trial in study.best_trials} == best
    assert {trial for trial in open_study(path).front().trial} == best


def test_without_constraints_no_trial_has_any(ledger, path, optuna_study):
    ledger.open_generation(0, 500, 0.0, GENOMES[:1])
    ledger.close_cohort([result(0, (0.5, 3.0))])
    assert "constraints" not in optuna_study(path).trials[0].system_attrs


def test_the_search_is_the_first_study_in_the_file_even_if_others_are_added(ledger, path, optuna_storage):
    ledger.open_generation(0, 500, 0.0, GENOMES)
    before = reread(path)
    other = optuna.create_study(storage=optuna_storage(path), study_name="a")
    other.add_trial(optuna.create_trial(value=1.0))
    assert reread(path) == before
    assert ledger.open_generation(1, 500, 0.0, GENOMES[:1])[0].number == len(GENOMES)


def test_trials_that_other_programs_add_are_left_out_and_disturb_nothing(ledger, path, optuna_study):
    ledger.open_generation(0, 500, 0.0, GENOMES[:2])
    study = optuna_study(path)
    study.add_trial(optuna.create_trial(values=[1.0, 0.0], user_attrs={"mine": True}))
    study.enqueue_trial({"rate": 0.01})
    study.sampler = optuna.samplers.RandomSampler()
    asked = study.ask()
    ledger.close_cohort([result(0, (0.5, 1.0))])
    ledger.open_generation(1, 500, 0.0, GENOMES[2:4])
    assert asked.number == 3
    numbers = [[record.number for record in generation.records] for generation in reread(path)]
    assert numbers == [[0, 1], [4, 5]]
    ledger.close_cohort([result(5, (0.25, 2.0))])
    assert reread(path)[1].records[1].result == result(5, (0.25, 2.0))
    assert open_study(path).trials().trial.tolist() == [0, 1, 4, 5]


def test_attributes_that_other_programs_add_are_ignored(ledger, path):
    ledger.open_generation(0, 500, 0.0, GENOMES)
    ledger.close_cohort([Result(0, (0.5, 1.0), DETAILS)])
    before = reread(path)
    storage, study_id = StudyFile(path).open()
    for number in (0, 1):
        trial = storage.get_trial_id_from_study_id_trial_number(study_id, number)
        with Session(storage.engine) as session, session.begin():
            session.add(models.TrialUserAttributeModel(trial_id=trial, key="seen", value_json='{"by": "me"}'))
    storage.set_study_user_attr(study_id, "colour", "green")
    storage.engine.dispose()
    assert reread(path) == before
    assert open_study(path).trials().state.tolist()[:2] == ["complete", "running"]


# --- transactions ---


def test_a_generation_and_a_cohort_are_one_transaction_each(study_file):
    commits: list[object] = []
    ledger, storage, _ = open_with_storage(StudyFile(study_file))
    with ledger:
        event.listen(storage.engine, "commit", commits.append)
        ledger.open_generation(0, 500, 0.0, GENOMES * 20)
        assert len(commits) == 1
        ledger.close_cohort([Result(number, (0.5, 3.0), DETAILS) for number in range(140)])
        assert len(commits) == 2


@pytest.mark.parametrize("error", [OSError("gone"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_half_a_generation_is_never_written(ledger, path, error):
    class Breaking(dict):
        def items(self):
            raise error

    genomes = [*GENOMES[:4], Breaking(GENOMES[4]), *GENOMES[5:]]
    with pytest.raises(type(error)):
        ledger.open_generation(0, 500, 0.0, genomes)
    assert reread(path) == []
    assert len(ledger.open_generation(0, 500, 0.0, GENOMES)) == len(GENOMES)


def test_half_a_cohort_is_never_written(ledger, path):
    ledger.open_generation(0, 500, 0.0, GENOMES)
    before = reread(path)
    good = [Result(number, (0.5, 3.0), DETAILS) for number in range(3)]
    with pytest.raises(TypeError):
        ledger.close_cohort([*good, result(3, (0.5, 3.0), notes=[object()])])
    assert reread(path) == before
    ledger.close_cohort(good)
    assert [record.result for record in reread(path)[0].records[:4]] == [*good, None]


@pytest.mark.parametrize("statement", range(1, 7))
def test_a_write_during_a_read_is_seen_whole_or_not_at_all(ledger, path, statement):
    ledger.open_generation(0, 500, 0.0, GENOMES)
    ledger.close_cohort([Result(0, (0.5, 3.0), DETAILS)])
    left = [statement]

    def write_after(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            ledger.add_attempt([1], CRASHED)
            ledger.close_cohort([Result(1, (0.25, 2.0), DETAILS)])
            ledger.open_generation(1, 500, 0.0, GENOMES[:2])

    reader, storage, _ = open_with_storage(StudyFile(path))
    with reader:
        before = reader.generations()
        event.listen(storage.engine, "before_cursor_execute", write_after)
        seen = reader.generations()
    assert left[0] <= 0
    after = reread(path)
    results = [[record.result for record in records(found)] for found in (before, seen, after)]
    assert results[1] in (results[0], results[2])
    assert [record.genome for record in records(seen)] == GENOMES + GENOMES[:2] * (len(seen) - 1)


def test_a_reader_does_not_wait_for_a_writer(study_file):
    ledger, storage, study_id = open_with_storage(StudyFile(study_file))
    with ledger, StudyFile(study_file).locked():
        ledger.open_generation(0, 500, 0.0, GENOMES)
        with Session(storage.engine) as session, session.begin():
            session.add(models.StudyUserAttributeModel(study_id=study_id, key="x", value_json="1"))
            session.flush()  # from here on the session has the write lock of SQLite
            start = time.monotonic()
            assert len(open_study(study_file).trials()) == len(GENOMES)
            assert time.monotonic() - start < 5


# --- kills ---


@uses_fork
def test_a_kill_at_any_moment_leaves_whole_generations_and_whole_cohorts(study_file):
    rng = random.Random(0)
    seen = 0
    rounds = 0
    here, there = multiprocessing.get_context("fork").Pipe()
    while rounds < 8 or (seen < 2 and rounds < 100):  # a busy machine may write little in a round
        rounds += 1
        with another_process(write_until_killed, study_file, there):
            assert here.recv() == "writing"
            time.sleep(0.1 + 0.1 * rng.random())
        generations = reread(study_file)
        assert_whole(generations)
        assert len(generations) >= seen
        seen = len(generations)
    assert seen > 1


@uses_fork
def test_a_kill_just_before_a_commit_leaves_the_study_as_it_was(ledger, path):
    ledger.open_generation(0, 500, 0.0, GENOMES)
    before = reread(path)

    def opening() -> None:
        with Ledger.open(path) as ledger:
            die_at_commit(1, lambda: ledger.open_generation(1, 500, 0.0, GENOMES))

    def closing() -> None:
        with Ledger.open(path) as ledger:
            die_at_commit(1, lambda: ledger.close_cohort([Result(0, (0.5, 1.0), DETAILS)]))

    for work in (opening, closing):
        with another_process(work) as process:
            process.join(30)
            assert process.exitcode == -signal.SIGKILL
        assert reread(path) == before
