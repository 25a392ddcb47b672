"""Trainings of the native engine in threads of the search, and when a search trains in threads."""

import signal
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import hebbevo
from hebbevo.errors import SearchInterrupted
from hebbevo.execution import Cohort, ProcessExecutor, SerialExecutor, ThreadExecutor
from hebbevo.execution.config import ExecutorConfig
from hebbevo.objectives.goal import Goal
from hebbevo.training import Candidate, Keeping
from hebbevo.training.early_stopping import Decision
from hebbevo.training.recipe import NATIVE
from tests.execution.conftest import RECIPE, SETUP, FailedAttempts, run_cohorts, without_times
from tests.training.native_cohorts import needs_native

pytestmark = needs_native

NATIVE_RECIPE = replace(RECIPE, engine=NATIVE, settings={"warmup": 1, "prune_period": 1})
NATIVE_SETUP = replace(SETUP, recipe=NATIVE_RECIPE)
KEEPING = Keeping((), Goal(), chance=0.0)


def trial(number: int, **genes: float) -> Cohort:
    return Cohort((number,), (Candidate(genes), Candidate(genes, 1)), keeping=KEEPING)


TRIALS = [trial(number, learning_rate=0.01 * (number + 1), **{"hidden.1": 5 + number}) for number in range(8)]


class AtRungs:
    """Calls a function at a rung, as a training comes to it, and stops no network."""

    def __init__(self, epoch, call):
        self.rungs, self.call = (epoch,), call
        self.explained = {epoch: 1.0}

    def decide(self, *paths):
        self.call()
        return [Decision((), stopped=False)] * len(paths[0])


def test_what_is_measured_and_kept_is_the_same_bit_for_bit_on_any_number_of_threads():
    with closing(SerialExecutor(NATIVE_SETUP)) as serial:
        expected = without_times(run_cohorts(serial, TRIALS))
    assert all(any(each.weights for each in own) for own in expected.values())
    for workers in (2, 5):
        with closing(ThreadExecutor(NATIVE_SETUP, workers=workers)) as executor:
            for _ in range(2):
                assert without_times(run_cohorts(executor, reversed(TRIALS))) == expected


def test_trainings_run_at_the_same_time():
    together = threading.Barrier(3, timeout=30)
    cohorts = [replace(each, early_stopper=AtRungs(1, together.wait)) for each in TRIALS[:3]]
    with closing(ThreadExecutor(NATIVE_SETUP, workers=3)) as executor:
        results = [*run_cohorts(executor, cohorts)]
    assert [m.failure for _, measured in results for m in measured] == [None] * 6


def test_a_cancelled_training_ends_after_its_epoch_and_closing_waits_for_that():
    epochs, goes_on = [], threading.Event()

    def hold() -> None:
        epochs.append(1)
        goes_on.wait(30)

    endless = replace(NATIVE_SETUP, recipe=replace(NATIVE_RECIPE, epochs=10**5))
    held = replace(TRIALS[0], early_stopper=AtRungs(1, hold))
    executor = ThreadExecutor(endless, workers=1)
    before = threading.active_count()
    results = run_cohorts(executor, [held], must_stop=lambda: bool(epochs))
    assert list(results) == []
    assert threading.active_count() == before + 1
    goes_on.set()
    executor.close()
    assert threading.active_count() == before


def test_an_error_outside_the_training_of_a_network_is_a_lost_attempt():
    def fail():
        raise MemoryError("no room")

    failures = FailedAttempts()
    cohort = replace(TRIALS[0], early_stopper=AtRungs(1, fail))
    with closing(ThreadExecutor(NATIVE_SETUP, workers=2)) as executor:
        [(_, measured)] = run_cohorts(executor, [cohort], failures)
    assert failures.summary() == [((0,), "memory", recovery) for recovery in ("again", "again", "failed")]
    assert all("no room" in each.failure for each in measured)


@pytest.mark.parametrize(
    ("engine", "options", "kind"),
    [
        (NATIVE, {"workers": 2}, ThreadExecutor),
        (NATIVE, {"workers": 2, "executor": "local"}, ThreadExecutor),
        (NATIVE, {"workers": 1}, SerialExecutor),
        (NATIVE, {"workers": 3}, ProcessExecutor),
        (NATIVE, {"workers": 2, "trial_timeout": 60}, ProcessExecutor),
        (NATIVE, {"workers": 2, "nice": 5}, ProcessExecutor),
        ("pytorch", {"workers": 2}, ProcessExecutor),
    ],
)
def test_few_workers_of_the_native_engine_are_threads_where_no_limit_needs_processes(engine, options, kind):
    recipe = replace(NATIVE_RECIPE, engine=engine)
    given = {"device": "cpu", "threads": 1, "max_workers": 8, "notify": print, "modules": {}}
    with closing(ExecutorConfig(**options).start(recipe, SETUP.split, **given)) as executor:
        assert type(executor) is kind


# --- whole searches ---


def table(study: hebbevo.Study) -> pd.DataFrame:
    return study.trials().drop(columns="seconds")


@pytest.fixture
def narrow(space: Path) -> Path:
    """A space with a cohort for each trial."""
    space.write_text(space.read_text().replace("population: 8", "population: 8, cohort_width: 2"))
    return space


def test_the_study_is_the_same_in_this_thread_in_others_and_in_processes(
    narrow: Path, tmp_path: Path
) -> None:
    ways = {
        "here": {"workers": 1},
        "threads": {"workers": 2},
        "processes": {"workers": 2, "trial_timeout": 600},
    }
    here, *others = (
        hebbevo.search(narrow, study=f"{tmp_path / way}.db", trials=16, engine="native", **options)
        for way, options in ways.items()
    )
    for other in others:
        pd.testing.assert_frame_equal(table(other), table(here), check_exact=True)


@pytest.mark.parametrize("presses", [1, 2])
def test_after_ctrl_c_a_search_in_threads_ends_and_goes_on_as_if_it_had_not(
    narrow: Path, tmp_path: Path, presses: int
) -> None:
    options = {"engine": "native", "trials": 16}
    whole = hebbevo.search(narrow, study=tmp_path / "whole.db", workers=1, **options)
    before = threading.active_count()

    def press(progress: hebbevo.Progress) -> None:
        if progress.trials == 2 and not progress.notice:
            for _ in range(presses):
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(SearchInterrupted, match="continue with 'hebbevo resume") as interrupted:
        hebbevo.search(narrow, study=tmp_path / "s.db", workers=2, watch=press, **options)
    assert threading.active_count() == before
    states = interrupted.value.study.trials().state
    assert 2 <= (states == "complete").sum() < 8
    resumed = hebbevo.resume(tmp_path / "s.db", workers=2)
    pd.testing.assert_frame_equal(table(resumed), table(whole), check_exact=True)
