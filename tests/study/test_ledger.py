"""The study file against Optuna itself, and against everything that can happen to a file."""

import contextlib
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import stat
import tempfile
import time
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from hebbevo.errors import StudyError
from hebbevo.spec.schema import Spec
from hebbevo.study.attempts import FailedAttempt, FailureKind, Recovery
from hebbevo.study.ledger import STOPPED, Generation, Ledger, Record, Result
from hebbevo.study.storage import StudyFile
from hebbevo.study.view import open_study

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
FACTS = {"versions": {"python": "3"}, "neurons": 20, "chance": 0.1, "classes": ["ä", 1], "mean": [0.1 + 0.2]}
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
    "depth": IntDistribution(1, 9, step=4),  # 12 is on no step
    "width": IntDistribution(1, 4096, log=True),
    "kind": CategoricalDistribution(("plain", 1, True, 0.1 + 0.2, False, 0, "1")),
    "gain": FloatDistribution(0.0, 1.0),
}
DETAILS = {"accuracy_sd": None, "layers": [3, 4.5], "seconds": 0.1 + 0.2, "collapsed": True, "text": "ü\n'"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studies" / "run.db"


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study without trials, to be copied: making one takes a while."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    Ledger.create(path, SPEC, FACTS).__exit__(None, None, None)
    return path


@pytest.fixture
def book(path: Path, empty: Path):
    path.parent.mkdir()
    shutil.copy(empty, path)
    with Ledger.open(path) as ledger:
        yield ledger


def reread(path: Path) -> list[Generation]:
    with Ledger.open(path) as ledger:
        return ledger.generations()


def records(generations: list[Generation]) -> list[Record]:
    return [record for generation in generations for record in generation.records]


def optuna_study(path: Path) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=f"sqlite:///{path}")


def held(path: Path):
    return StudyFile(path).held()


def typed(genome):
    return [(name, type(value), value) for name, value in sorted(genome.items())]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@contextlib.contextmanager
def refused(*words: str):
    """A StudyError of one line in which the words stand."""
    with pytest.raises(StudyError) as caught:
        yield
    assert len(str(caught.value).splitlines()) == 1
    for word in words:
        assert word in str(caught.value)


# --- the round trip ---


def test_a_new_study_is_empty_and_keeps_its_settings_and_facts(path):
    with Ledger.create(path, SPEC, FACTS) as ledger:
        assert (ledger.spec, ledger.facts, ledger.generations()) == (SPEC, FACTS, [])
    with Ledger.open(path) as ledger:
        assert (ledger.spec, ledger.facts, ledger.generations()) == (SPEC, FACTS, [])
    assert {file.name for file in path.parent.iterdir()} == {"run.db", ".run.db.lock"}


def test_generations_come_back_as_they_were_written_bit_for_bit(book, path):
    book.open_generation(0, 500, 0.0, GENOMES)
    book.close_cohort([Result(1, (0.1 + 0.2, 1 / 3), DETAILS), Result(2, None, {"failure": "diverged"})])
    book.open_generation(1, 12, 0.1 + 0.2, GENOMES[:2])
    first, second = reread(path)
    assert (first.number, first.total, first.progress) == (0, 500, 0.0)
    assert (second.number, second.total, second.progress) == (1, 12, 0.1 + 0.2)
    assert [record.number for record in first.records + second.records] == list(range(9))
    for record, genome in zip(first.records + second.records, GENOMES + GENOMES[:2], strict=True):
        assert typed(record.genome) == typed(genome)
    results = {record.number: record.result for record in first.records + second.records if record.result}
    assert results == {
        1: Result(1, (0.1 + 0.2, 1 / 3), DETAILS),
        2: Result(2, None, {"failure": "diverged"}),
    }


def test_what_open_generation_returns_is_what_the_file_holds(book, path):
    records = book.open_generation(0, 500, 0.0, GENOMES)
    assert reread(path) == [Generation(0, 500, 0.0, tuple(records))]
    assert all(record.result is None for record in records)


def test_every_number_comes_back_as_optuna_itself_reads_it(book, path):
    odd = {"inf": [math.inf, -math.inf], "zero": -0.0, "tiny": 5e-324, "long": 2**70, "ints": {"a": 1}}
    values = [(math.inf, -math.inf), (1 / 3, 5e-324), (1, 2)]
    book.open_generation(0, 500, 0.0, GENOMES)
    book.close_cohort([Result(number, value, odd) for number, value in enumerate(values)])
    found = records(reread(path))
    for record, trial in zip(found, optuna_study(path).trials, strict=True):
        assert (record.number, repr(record.genome)) == (trial.number, repr(trial.params))
        assert (record.result is None) == (trial.state is TrialState.RUNNING)
        if record.result:
            assert repr(list(record.result.values)) == repr(trial.values)
            assert repr(sorted(record.result.details.items())) == repr(sorted(trial.user_attrs.items()))
    assert [repr(record.result.values) for record in found[:3]] == [
        "(inf, -inf)",
        "(0.3333333333333333, 5e-324)",
        "(1.0, 2.0)",
    ]


def test_a_trial_that_was_stopped_is_pruned_for_optuna_and_comes_back_as_it_was(book, path):
    stopped = Result(0, None, {STOPPED: 3, "accuracy_by_epoch": [0.1, 0.2, 0.3]})
    failed = Result(1, None, {"failure": "diverged"})
    done = Result(2, (0.5, 1.0), {STOPPED: 20})
    book.open_generation(0, 500, 0.0, GENOMES)
    book.close_cohort([stopped, failed, done])
    assert [record.result for record in records(reread(path))[:4]] == [stopped, failed, done, None]
    study = optuna_study(path)
    states = [TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE, TrialState.RUNNING]
    assert [trial.state for trial in study.trials[:4]] == states
    assert (study.trials[0].values, study.trials[0].user_attrs) == (None, stopped.details)
    assert study.trials[0].datetime_complete is not None
    assert [trial.number for trial in study.best_trials] == [2]


def test_a_cohort_of_nobody_changes_nothing(book, path):
    book.open_generation(0, 500, 0.0, GENOMES)
    before = reread(path)
    book.close_cohort([])
    assert reread(path) == before


def test_the_first_studies_did_not_record_the_progress_which_is_then_by_trials(book, path):
    book.open_generation(0, 28, 0.5, GENOMES)
    book.open_generation(1, 28, 0.5, GENOMES)
    book.open_generation(2, 56, 0.5, GENOMES)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "UPDATE study_user_attributes SET value_json = json_remove(value_json, '$.progress')"
            " WHERE key LIKE 'hebbevo:generation:%'"
        )
        connection.commit()
    assert [generation.progress for generation in reread(path)] == [0.0, 7 / 28, 14 / 56]


def test_optuna_reads_the_file_as_its_own_study(book, path):
    book.open_generation(0, 500, 0.0, GENOMES)
    book.close_cohort([Result(2, (0.75, 12.5), DETAILS), Result(0, None, {"failure": "diverged"})])
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
    assert trials[2].user_attrs == DETAILS
    assert trials[0].user_attrs == {"failure": "diverged"}
    assert trials[0].values is None
    assert [trial.number for trial in study.best_trials] == [2]


def test_optuna_writes_the_same_rows(book, path, tmp_path):
    """The same trials by Optuna's public interface leave the same content in its tables."""
    genomes = [genome for genome in GENOMES if genome["kind"] not in (True, False)]  # Optuna takes 1 for True
    book.open_generation(0, 500, 0.0, genomes)
    book.close_cohort([Result(number, (0.5, number / 3), DETAILS) for number in range(len(genomes))])
    other = tmp_path / "optuna.db"
    study = optuna.create_study(storage=f"sqlite:///{other}", directions=["maximize", "minimize"])
    for number, genome in enumerate(genomes):
        trial = optuna.create_trial(
            values=[0.5, number / 3],
            params=genome,
            distributions={name: DISTRIBUTIONS[name] for name in genome},
            user_attrs=DETAILS,
            system_attrs={"hebbevo:generation": 0},
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


def test_optuna_takes_for_feasible_and_best_what_meets_the_constraints(path):
    spec = Spec.model_validate(
        SPEC.to_json() | {"constraints": {"accuracy": {"min": 0.5}, "survivors": {"max": 10}}}
    )
    moments = random.Random(0)
    values = [(moments.random(), float(moments.randrange(21))) for _ in range(40)]
    with Ledger.create(path, spec, FACTS) as ledger:
        ledger.open_generation(0, 500, 0.0, GENOMES[:1] * 42)
        ledger.close_cohort([Result(number, value, {}) for number, value in enumerate(values)])
        ledger.close_cohort([Result(40, None, {"failure": "diverged"})])
    study = optuna_study(path)
    for trial, (accuracy, survivors) in zip(study.trials[:40], values, strict=True):
        excesses = (0.5 - accuracy, (survivors - 10) / 10)
        assert tuple(trial.constraints.values()) == pytest.approx(excesses)
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


def test_without_constraints_no_trial_has_any(book, path):
    book.open_generation(0, 500, 0.0, GENOMES[:1])
    book.close_cohort([Result(0, (0.5, 3.0), {})])
    assert "constraints" not in optuna_study(path).trials[0].system_attrs


def test_the_search_is_the_first_study_whatever_others_add_to_the_file(book, path):
    book.open_generation(0, 500, 0.0, GENOMES)
    before = reread(path)
    other = optuna.create_study(storage=f"sqlite:///{path}", study_name="a")
    other.add_trial(optuna.create_trial(value=1.0))
    assert reread(path) == before
    assert book.open_generation(1, 500, 0.0, GENOMES[:1])[0].number == len(GENOMES)


def test_trials_that_others_add_are_left_out_and_not_in_the_way(book, path):
    book.open_generation(0, 500, 0.0, GENOMES[:2])
    study = optuna_study(path)
    study.add_trial(optuna.create_trial(values=[1.0, 0.0], user_attrs={"mine": True}))
    study.enqueue_trial({"rate": 0.01})
    asked = optuna.load_study(
        study_name=None, storage=f"sqlite:///{path}", sampler=optuna.samplers.RandomSampler()
    ).ask()
    book.close_cohort([Result(0, (0.5, 1.0), {})])
    book.open_generation(1, 500, 0.0, GENOMES[2:4])
    assert asked.number == 3
    numbers = [[record.number for record in generation.records] for generation in reread(path)]
    assert numbers == [[0, 1], [4, 5]]
    book.close_cohort([Result(5, (0.25, 2.0), {})])
    assert reread(path)[1].records[1].result == Result(5, (0.25, 2.0), {})
    assert open_study(path).trials().trial.tolist() == [0, 1, 4, 5]


def test_the_file_is_in_wal_mode(book, path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("name", ["a b#ä中.db", "what?50%.db", "{x}%20.db", "[a]*.db", "file:x.db"])
def test_any_path_will_do(tmp_path, name):
    path = tmp_path / f"folder of {name}" / name
    with Ledger.create(path, SPEC, FACTS) as ledger, held(path):
        ledger.open_generation(0, 4, 0.0, GENOMES[:1])
    assert reread(path)[0].records == (Record(0, GENOMES[0], None),)
    assert {file.name for file in path.parent.iterdir()} == {name, f".{name}.lock"}
    assert len(open_study(path).trials()) == 1


# --- transactions ---


def commits(ledger: Ledger) -> list[object]:
    seen: list[object] = []
    event.listen(ledger._storage.engine, "commit", seen.append)
    return seen


def test_a_generation_and_a_cohort_are_one_transaction_each(book):
    seen = commits(book)
    book.open_generation(0, 500, 0.0, GENOMES * 20)
    assert len(seen) == 1
    book.close_cohort([Result(number, (0.5, 3.0), DETAILS) for number in range(140)])
    assert len(seen) == 2


@pytest.mark.parametrize("error", [OSError("gone"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_half_a_generation_is_never_written(book, path, monkeypatch, error):
    calls = []

    def break_down(value):
        calls.append(value)
        if len(calls) == 5:
            raise error
        return json.dumps(value)

    real = Ledger._params

    def params(self, trial_id, genome):
        break_down(0)
        return real(self, trial_id, genome)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_params", params)
        with pytest.raises(type(error)):
            book.open_generation(0, 500, 0.0, GENOMES)
    assert reread(path) == []
    assert len(book.open_generation(0, 500, 0.0, GENOMES)) == len(GENOMES)


def test_half_a_cohort_is_never_written(book, path):
    book.open_generation(0, 500, 0.0, GENOMES)
    before = reread(path)
    good = [Result(number, (0.5, 3.0), DETAILS) for number in range(3)]
    with pytest.raises(TypeError):
        book.close_cohort([*good, Result(3, (0.5, 3.0), {"no JSON": object()})])
    assert reread(path) == before
    book.close_cohort(good)
    assert [record.result for record in reread(path)[0].records[:4]] == [*good, None]


@pytest.mark.parametrize("statement", range(1, 7))
def test_what_happens_while_reading_is_seen_whole_or_not_at_all(book, path, statement):
    book.open_generation(0, 500, 0.0, GENOMES)
    book.close_cohort([Result(0, (0.5, 3.0), DETAILS)])
    left = [statement]

    def write_after(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            book.add_attempt(
                [1], FailedAttempt((1,), FailureKind.CRASH, "killed", "process 7", 1.0, Recovery.AGAIN)
            )
            book.close_cohort([Result(1, (0.25, 2.0), DETAILS)])
            book.open_generation(1, 500, 0.0, GENOMES[:2])

    with Ledger.open(path) as reader:
        before = reader.generations()
        event.listen(reader._storage.engine, "before_cursor_execute", write_after)
        seen = reader.generations()
    assert left[0] <= 0
    after = reread(path)
    results = [[record.result for record in records(found)] for found in (before, seen, after)]
    assert results[1] in (results[0], results[2])
    assert [record.genome for record in records(seen)] == GENOMES + GENOMES[:2] * (len(seen) - 1)


def test_a_reader_is_not_kept_waiting_by_a_writer(book, path):
    book.open_generation(0, 500, 0.0, GENOMES)
    with held(path), Session(book._storage.engine) as session, session.begin():
        session.add(models.StudyUserAttributeModel(study_id=book._study_id, key="x", value_json="1"))
        session.flush()  # the write lock is taken
        start = time.monotonic()
        assert len(open_study(path).trials()) == len(GENOMES)
        assert time.monotonic() - start < 5


# --- kills ---

COHORT = 3


def write_for_ever(path: Path, parent) -> None:
    with Ledger.open(path) as ledger:
        parent.send("writing")
        while True:
            for generation in ledger.generations():
                todo = [record.number for record in generation.records if record.result is None]
                for start in range(0, len(todo), COHORT):
                    cohort = todo[start : start + COHORT]
                    ledger.close_cohort([Result(number, (0.5, 1.0), {"seconds": 1.0}) for number in cohort])
            ledger.open_generation(len(ledger.generations()), 500, 0.0, GENOMES)


def killed_at_commit(count: int, work) -> None:
    """Work until the commit of this number, and die just before it."""
    left = [count]

    def commit(_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "commit", commit)
    work()


@contextlib.contextmanager
def another_process(target, *args):
    process = multiprocessing.get_context("fork").Process(target=target, args=args, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@forks
@pytest.mark.usefixtures("book")
def test_a_kill_at_any_moment_leaves_whole_generations_and_whole_cohorts(path):
    moments = random.Random(0)
    seen = 0
    rounds = 0
    here, there = multiprocessing.get_context("fork").Pipe()
    while rounds < 8 or (seen < 2 and rounds < 100):  # a busy machine may write little in a round
        rounds += 1
        with another_process(write_for_ever, path, there):
            assert here.recv() == "writing"
            time.sleep(0.1 + 0.1 * moments.random())
        generations = reread(path)
        for generation in generations:
            assert [record.genome for record in generation.records] == GENOMES
            done = [record.result is not None for record in generation.records]
            assert done in ([True] * n + [False] * (7 - n) for n in (0, 3, 6, 7))
            assert all(r.result.values == (0.5, 1.0) for r in generation.records if r.result)
        numbers = [record.number for generation in generations for record in generation.records]
        assert numbers == list(range(7 * len(generations)))
        assert len(generations) >= seen
        seen = len(generations)
    assert seen > 1


@forks
def test_a_kill_just_before_a_commit_leaves_what_was_before(book, path):
    book.open_generation(0, 500, 0.0, GENOMES)
    before = reread(path)

    def opening() -> None:
        with Ledger.open(path) as ledger:
            killed_at_commit(1, lambda: ledger.open_generation(1, 500, 0.0, GENOMES))

    def closing() -> None:
        with Ledger.open(path) as ledger:
            killed_at_commit(1, lambda: ledger.close_cohort([Result(0, (0.5, 1.0), DETAILS)]))

    for work in (opening, closing):
        with another_process(work) as process:
            process.join(30)
            assert process.exitcode == -signal.SIGKILL
        assert reread(path) == before


@forks
def test_a_kill_while_creating_leaves_no_study_and_is_cleared_up_by_the_next(path):
    for count in (1, 2, 4, 6):
        with another_process(killed_at_commit, count, lambda: Ledger.create(path, SPEC, FACTS)) as process:
            process.join(30)
            assert process.exitcode == -signal.SIGKILL
        assert not path.exists()
    assert list(path.parent.iterdir())
    with Ledger.create(path, SPEC, FACTS) as ledger:
        assert (ledger.spec, ledger.generations()) == (SPEC, [])
    assert {file.name for file in path.parent.iterdir()} == {"run.db", ".run.db.lock"}


@pytest.mark.parametrize(
    ("place", "error", "seen"),
    [
        ("os.replace", OSError(28, "No space left on device"), StudyError),
        (
            "hebbevo.study.storage.file.add_study",
            sqlite3.OperationalError("database or disk is full"),
            StudyError,
        ),
        ("hebbevo.study.storage.file.add_study", KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_an_error_while_creating_leaves_nothing(path, monkeypatch, place, error, seen):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(place, fail)
    neighbour = path.with_name(".b.db.new")
    path.parent.mkdir()
    neighbour.touch()
    with pytest.raises(seen):
        Ledger.create(path.with_name("[ab].db"), SPEC, FACTS)
    assert {file.name for file in path.parent.iterdir()} == {neighbour.name, ".[ab].db.lock"}


# --- the hold ---


@forks
def test_a_study_is_held_by_one_process_until_its_end_whatever_ends_it(path):
    here, there = multiprocessing.get_context("fork").Pipe()

    def hold() -> None:
        with held(path):
            there.send("held")
            time.sleep(60)

    with another_process(hold) as process:
        assert here.poll(30)
        with refused(str(path), f"(process {process.pid}) has been searching it since 20"), held(path):
            pytest.fail("held twice")
    with held(path):
        pass


def test_a_hold_ends_with_its_block_and_with_an_error_in_it(path):
    with contextlib.suppress(ZeroDivisionError), held(path):
        raise ZeroDivisionError
    with held(path), refused(f"(process {os.getpid()})"), held(path):
        pytest.fail("held twice")
    with held(path):
        pass


# --- files that are no study ---


def a_study_of_somebody_else(path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{path}", direction="maximize")
    study.add_trial(optuna.create_trial(value=1.0))


def another_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
        connection.commit()


def another_database_in_wal_mode(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE cats (name TEXT)")
        connection.commit()


def cut_short(path: Path, part: float) -> None:
    with Ledger.create(path, SPEC, FACTS) as ledger:
        ledger.open_generation(0, 500, 0.0, GENOMES)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * part))


def by_another_optuna(path: Path) -> None:
    Ledger.create(path, SPEC, FACTS).__exit__(None, None, None)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99'")
        connection.commit()


def by_another_hebbevo(path: Path) -> None:
    Ledger.create(path, SPEC, FACTS).__exit__(None, None, None)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE study_user_attributes SET value_json = '{}' WHERE key = 'hebbevo:spec'")
        connection.commit()


NO_STUDY = {
    "missing": (lambda _: None, "no such study"),
    "missing folder": (lambda path: path.parent.rmdir(), "no such study"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "pipe": (os.mkfifo, "no ordinary file"),
    "empty": (lambda path: path.touch(), "not a study file"),
    "text": (lambda path: path.write_text("version: 1\nname: x\n"), "not a study file"),
    "magic": (
        lambda path: path.write_bytes(b"SQLite format 3\0" + b"junk" * 999),
        "cannot be read as a study",
    ),
    "cut to a tenth": (lambda path: cut_short(path, 0.1), "cannot be read as a study"),
    "cut to a half": (lambda path: cut_short(path, 0.5), "cannot be read as a study"),
    "cut a little": (lambda path: cut_short(path, 0.999), "malformed"),
    "another database": (another_database, "cannot be read as a study (no such table"),
    "another, in WAL mode": (another_database_in_wal_mode, "cannot be read as a study (no such table"),
    "somebody else's study": (a_study_of_somebody_else, "hebbevo did not make it"),
    "another Optuna": (by_another_optuna, "was made with another Optuna"),
    "another hebbevo": (by_another_hebbevo, "its settings cannot be read"),
}


@pytest.mark.parametrize("what", NO_STUDY)
def test_a_file_that_is_no_study_is_one_line_and_stays_as_it_is(tmp_path, what):
    make, words = NO_STUDY[what]
    path = tmp_path / "here" / "run.db"
    path.parent.mkdir()
    make(path)
    before, names = contents(tmp_path), sorted(tmp_path.rglob("*"))
    with refused(str(path), words):
        open_study(path)
    assert contents(tmp_path) == before
    assert sorted(tmp_path.rglob("*")) == names


@contextlib.contextmanager
def unprivileged():
    """Root may read and write anything: be nobody for a while."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


@pytest.fixture
def closed_folder():
    """A folder that cannot be written, with a study in it."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders cannot be entered by others
        folder = Path(name)
        with Ledger.create(folder / "run.db", SPEC, FACTS) as ledger:
            ledger.open_generation(0, 500, 0.0, GENOMES)
        assert len(reread(folder / "run.db")) == 1
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
        yield folder
        folder.chmod(stat.S_IRWXU)


def test_a_folder_that_cannot_be_written_is_one_line(closed_folder):
    before = contents(closed_folder)
    new = closed_folder / "new.db"
    with unprivileged():
        with refused(str(new)):
            Ledger.create(new, SPEC, FACTS)
        with refused(str(new), "cannot be written (Permission denied)"), held(new):
            pytest.fail("held")
        deeper = closed_folder / "deeper" / "new.db"
        with refused(str(deeper), "cannot be written (Permission denied)"), held(deeper):
            pytest.fail("held")
        with refused("run.db"):
            Ledger.open(closed_folder / "run.db")
    assert contents(closed_folder) == before


def test_a_file_that_cannot_be_read_is_one_line(closed_folder):
    path = closed_folder / "run.db"
    path.chmod(0)
    with unprivileged(), refused(str(path), "cannot be read (Permission denied)"):
        Ledger.open(path)
    path.chmod(stat.S_IRUSR)


def test_a_path_through_a_file_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "run.db"
    with refused(str(path)):
        Ledger.open(path)
    with refused(str(path), "cannot be written"):
        Ledger.create(path, SPEC, FACTS)
    with refused(str(path), "cannot be written"), held(path):
        pytest.fail("held")


def test_a_full_disk_is_one_line_and_the_study_goes_on_afterwards(book, path):
    book.open_generation(0, 500, 0.0, GENOMES)
    before = reread(path)
    book._storage.engine.dispose()

    def fill(connection: sqlite3.Connection, _: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(book._storage.engine, "connect", fill)
    with refused(str(path), "database or disk is full", "hebbevo resume"):
        book.open_generation(1, 500, 0.0, GENOMES * 20)
    with refused(str(path), "database or disk is full", "hebbevo resume"):
        book.close_cohort([Result(0, (0.5, 1.0), {"text": "x" * 100_000})])
    assert book.generations() == before
    with Ledger.open(path) as ledger:
        assert ledger.generations() == before
        ledger.close_cohort([Result(0, (0.5, 1.0), {"text": "x" * 100_000})])
        ledger.open_generation(1, 500, 0.0, GENOMES * 20)
    assert [len(generation.records) for generation in reread(path)] == [7, 140]
