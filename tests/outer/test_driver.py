"""The outer loop: kills, interrupts, replay, timeouts, and what the sampler learns."""

import contextlib
import io
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hebbevo
from hebbevo.errors import ReplayMismatch, SearchInterrupted, StudyError
from hebbevo.execution import worker_setup
from hebbevo.outer import driver
from hebbevo.samplers import SAMPLERS, Genetic
from hebbevo.samplers.sampler import Sampler
from hebbevo.space import canonical
from hebbevo.study.ledger import Ledger
from tests.outer.conftest import assert_same_study, table

# --- kills and interrupts ---


def test_killed_at_random_moments_the_study_is_the_one_that_was_never_killed(
    space: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    path = tmp_path / "killed.db"
    rng = random.Random(5)
    seen = []
    command = [sys.executable, "-m", "hebbevo", "search", "--space", str(space), "--study", str(path)]
    for _ in range(2):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in range(rng.randint(1, 2)):
            assert process.stderr is not None
            process.stderr.readline()
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.wait()
        process.stderr.close()
        seen.append((table(path).state == "complete").sum())
        command = [sys.executable, "-m", "hebbevo", "resume", str(path)]
    hebbevo.resume(path)
    assert any(0 < trials < 24 for trials in seen), f"no kill hit a study under way: {seen}"
    assert_same_study(path, uninterrupted)


def die_after_the_second_write(work) -> None:
    left = [2]

    def deadly(real):
        def write(*args):
            returned = real(*args)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return returned

        return write

    Ledger.open_generation = deadly(Ledger.open_generation)
    Ledger.close_cohort = deadly(Ledger.close_cohort)
    work()


GOALS = {
    "constraints": "constraints: {survivors: {max: 10}, accuracy: {min: 0.5}}\n",
    "one objective": "objectives: {weighted: {accuracy: 1.0, survivors: -0.01}}\n",
}


@pytest.mark.usefixtures("pairs")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["constraints", "one objective", "exhausted"])
def test_killed_after_every_other_write_the_study_is_the_one_that_was_never_killed(
    request: pytest.FixtureRequest, space: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "exhausted":
        request.getfixturevalue("exhausted")
    else:
        space.write_text(space.read_text() + GOALS[kind])
    uninterrupted = hebbevo.search(space, study=tmp_path / "straight.db", trials=16).path
    path = tmp_path / "killed.db"
    kills = 0
    while True:
        process = multiprocessing.get_context("fork").Process(
            target=die_after_the_second_write, args=[lambda: hebbevo.search(space, study=path, trials=16)]
        )
        process.start()
        process.join(120)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        assert kills < 20
    assert kills > 1
    assert_same_study(path, uninterrupted)


def test_the_first_interrupt_lets_trainings_finish_and_the_study_resumes_as_if_uninterrupted(
    space: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    path = tmp_path / "interrupted.db"

    def press_ctrl_c(progress: hebbevo.Progress) -> None:
        if progress.trials == 8 and not progress.notice:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(
        SearchInterrupted, match=r"8 of 24 trials are recorded.*hebbevo resume .*interrupted\.db"
    ):
        hebbevo.search(space, study=path, watch=press_ctrl_c)
    assert (table(path).state == "complete").sum() == 8
    hebbevo.resume(path)
    pd.testing.assert_frame_equal(table(path), table(uninterrupted), check_exact=True)


def test_the_second_interrupt_cancels_trainings_and_loses_no_result(
    space: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "twice.db"
    real, calls = worker_setup.train, []

    def train(*args: object) -> object:
        calls.append(args)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(worker_setup, "train", train)
    with pytest.raises(SearchInterrupted):
        hebbevo.search(space, study=path)
    states = table(path).state
    assert (states == "complete").sum() == 8
    assert (states == "running").sum() == 8
    hebbevo.resume(path)
    pd.testing.assert_frame_equal(table(path), table(uninterrupted), check_exact=True)


def test_a_notice_of_ctrl_c_during_the_output_of_a_line_follows_that_line(
    space: Path, tmp_path: Path
) -> None:
    class Interrupting(io.RawIOBase):
        """A stream in which a signal comes during the second write."""

        written = b""

        def writable(self) -> bool:
            return True

        def write(self, line) -> int:
            if self.written.count(b"\n") == 1:
                signal.raise_signal(signal.SIGINT)
            self.written += bytes(line)
            return len(line)

    raw = Interrupting()
    stream = io.BufferedWriter(raw)

    def watch(progress: hebbevo.Progress) -> None:
        stream.write(progress.notice.encode() + b"\n")
        stream.flush()

    with pytest.raises(SearchInterrupted, match="continue with"):
        hebbevo.search(space, study=tmp_path / "s.db", trials=16, watch=watch)
    assert raw.written.count(b"finishing the trainings under way") == 1


def test_the_handler_of_ctrl_c_is_restored(space: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    hebbevo.search(space, study=tmp_path / "s.db", trials=8)
    assert signal.getsignal(signal.SIGINT) is before


# --- replay ---


def test_replay_trains_nothing_again(
    space: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, trained = worker_setup.train, []

    def watched(recipe, candidates, *rest):
        trained.extend(canonical(candidate.genome) for candidate in candidates)
        return real(recipe, candidates, *rest)

    monkeypatch.setattr(worker_setup, "train", watched)
    with Ledger.open(uninterrupted) as ledger:
        recorded = {
            canonical(each.genome) for generation in ledger.generations() for each in generation.records
        }
    hebbevo.resume(uninterrupted, trials=32, workers=1)
    assert trained
    assert not recorded & set(trained)


def test_a_finished_study_is_not_replayed(
    space: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Genetic):
        def _ask(self, n):
            pytest.fail("a finished study was replayed")

    monkeypatch.setitem(SAMPLERS, "ga", Failing)
    before = table(uninterrupted)
    hebbevo.search(space, study=uninterrupted)
    pd.testing.assert_frame_equal(table(uninterrupted), before)


def test_a_sampler_that_asks_for_other_genomes_is_a_replay_mismatch_that_names_the_generation(
    uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reversing(Genetic):
        def _ask(self, n):
            genomes = super()._ask(n)
            return genomes[::-1] if self.generation == 1 else genomes

    monkeypatch.setitem(SAMPLERS, "ga", Reversing)
    with pytest.raises(ReplayMismatch, match=r"generation 1 .*the same library versions"):
        hebbevo.resume(uninterrupted, trials=32)


def test_a_study_of_an_earlier_version_of_the_samplers_is_replayed_as_it_was_asked(
    blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NSGA-II of version 1 took no genome for a parent that was drawn in place of a repeated one."""
    space = tmp_path / "repeats.yaml"
    space.write_text(
        f"version: 1\nname: repeats\ntask: {{dataset: {blobs}, epochs: 1}}\nnetwork: {{hidden: [4]}}\n"
        "search: {sampler: nsga2, population: 6, trials: 30, settings: {mutation_prob: 1.0e-9}}\n"
        "genome:\n  grace: {type: int, low: 1, high: 6}\n  warmup: {type: int, low: 1, high: 8}\n"
    )
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    hebbevo.search(space, study=new)
    with monkeypatch.context() as patch:
        patch.setattr("hebbevo.outer.preflight.VERSION", 1)
        hebbevo.search(space, study=old, trials=18)
    hebbevo.resume(old, trials=30)
    genomes = [column for column in table(new) if column.startswith("genome.")]
    assert not table(new)[genomes].equals(table(old)[genomes])


def test_a_study_with_a_gap_among_its_results_is_not_continued(uninterrupted: Path) -> None:
    with contextlib.closing(sqlite3.connect(uninterrupted)) as connection:
        connection.execute("UPDATE trials SET state = 'RUNNING' WHERE number = 5")
        for table_name in ("trial_values", "trial_user_attributes"):
            connection.execute(f"DELETE FROM {table_name} WHERE trial_id = 6")
        connection.execute("DELETE FROM trial_system_attributes WHERE trial_id = 6 AND key LIKE '%checksum'")
        connection.commit()
    with pytest.raises(StudyError, match=r"is damaged \(trial 5 has no result, though later ones were asked"):
        hebbevo.resume(uninterrupted)


def test_replay_mismatch_names_the_versions_that_changed(
    uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(Genetic):
        def _ask(self, n):
            return self.space.sample(n, np.random.default_rng(1))

    monkeypatch.setitem(SAMPLERS, "ga", Other)
    monkeypatch.setattr("hebbevo.study.facts.version", lambda name: "0.0.1")
    with pytest.raises(ReplayMismatch, match=r"deap \S+ -> 0\.0\.1"):
        hebbevo.resume(uninterrupted, trials=32)


# --- timeouts and progress ---


class Clock:
    """A clock that stands still until its time is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(driver, "monotonic", clock)
    return clock


def progresses(path: Path) -> list[float]:
    with Ledger.open(path) as ledger:
        return [generation.progress for generation in ledger.generations()]


@pytest.mark.usefixtures("pairs")
def test_after_the_timeout_no_cohort_begins_and_the_resumed_study_is_the_one_without_a_timeout(
    space: Path, tmp_path: Path, clock: Clock
) -> None:
    uninterrupted = hebbevo.search(space, study=tmp_path / "straight.db").path
    seen: list[hebbevo.Progress] = []

    def tick(progress: hebbevo.Progress) -> None:
        seen.append(progress)
        clock.now += 10

    path = tmp_path / "timed.db"
    study = hebbevo.search(space, study=path, timeout=35, watch=tick)
    assert [progress.trials for progress in seen] == [0, 2, 4, 6, 6]
    assert [progress.seconds_left for progress in seen] == [35, 25, 15, 5, 0]
    assert seen[-1].notice == f"stopped after 35s: 6 of 24 trials; continue with 'hebbevo resume {path}'"
    assert study.trials().state.tolist() == ["complete"] * 6 + ["running"] * 2
    hebbevo.resume(path, timeout="20s", watch=tick)
    assert (table(path).state == "complete").sum() == 8  # one cohort, and no generation after it
    assert len(table(path)) == 8
    hebbevo.resume(path)
    assert_same_study(path, uninterrupted)


@pytest.mark.usefixtures("pairs")
def test_after_the_timeout_every_worker_finishes_its_cohort(
    space: Path, tmp_path: Path, clock: Clock
) -> None:
    def let_time_pass(progress: hebbevo.Progress) -> None:
        clock.now = 60.0 * progress.trials

    study = hebbevo.search(space, study=tmp_path / "s.db", workers=2, timeout="1m", watch=let_time_pass)
    done = study.trials().state == "complete"
    assert 2 <= done.sum() <= 2 * (1 + 2)


def test_the_progress_of_a_generation_is_the_spent_part_of_trials_or_of_time(
    space: Path, tmp_path: Path, clock: Clock
) -> None:
    def tick(_: hebbevo.Progress) -> None:
        clock.now += 30

    timed = hebbevo.search(space, study=tmp_path / "timed.db", timeout=100, watch=tick).path
    assert progresses(timed) == [0.3, 0.6, 0.9]
    slow = hebbevo.search(space, study=tmp_path / "slow.db", timeout=300, watch=tick).path
    assert progresses(slow) == [0.1, 8 / 24, 16 / 24]
    free = hebbevo.search(space, study=tmp_path / "free.db", watch=tick).path
    assert progresses(free) == [0.0, 8 / 24, 16 / 24]


class Scheduled(Sampler):
    """Random genomes that depend on the progress."""

    def _set_up(self, settings) -> None:
        pass

    def _ask(self, n):
        rng = np.random.default_rng([self.seed, self.generation, round(self.progress * 1e9)])
        return self.space.sample(n, rng)

    def _tell(self, outcomes) -> None:
        pass


def test_the_recorded_progress_is_replayed_not_that_of_the_clock(
    space: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SAMPLERS, "scheduled", Scheduled)

    def tick(_: hebbevo.Progress) -> None:
        clock.now += 7

    path = hebbevo.search(space, study=tmp_path / "s.db", sampler="scheduled", timeout=20, watch=tick).path
    before = table(path)
    assert progresses(path) == [0.35, 0.7]
    clock.now = 0.0
    hebbevo.resume(path, timeout=1e6)
    assert len(table(path)) == 24
    pd.testing.assert_frame_equal(table(path)[: len(before)], before, check_exact=True)
    hebbevo.resume(path, trials=32)
    assert progresses(path) == [0.35, 0.7, 16 / 24, 24 / 32]


def test_a_timeout_given_in_a_call_holds_for_that_call_and_one_in_the_file_for_every_call(
    space: Path, tmp_path: Path, clock: Clock
) -> None:
    def tick(_: hebbevo.Progress) -> None:
        clock.now += 10

    path = tmp_path / "option.db"
    hebbevo.search(space, study=path, timeout=15, watch=tick)
    assert len(table(path)) == 8
    hebbevo.search(space, study=path, watch=tick)
    assert len(table(path)) == 24

    space.write_text(space.read_text().replace("trials: 24,", "trials: 24, timeout: 15s,"))
    path = hebbevo.search(space, study=tmp_path / "file.db", watch=tick).path
    hebbevo.resume(path, watch=tick)
    assert len(table(path)) == 16
    hebbevo.search(space, study=path, timeout="1h", watch=tick)
    assert len(table(path)) == 24


def test_a_longer_study_that_is_stopped_before_it_asks_says_how_to_continue_it(
    uninterrupted: Path, clock: Clock
) -> None:
    seen: list[hebbevo.Progress] = []

    def tick(progress: hebbevo.Progress) -> None:
        seen.append(progress)
        clock.now += 10

    hebbevo.resume(uninterrupted, trials=40, timeout=5, watch=tick)
    assert seen[-1].notice == (
        f"stopped after 5s: 24 of 40 trials; continue with 'hebbevo resume {uninterrupted} --trials 40'"
    )


# --- outcomes ---


@pytest.mark.parametrize(
    ("objectives", "loss"),
    [
        ("{accuracy: maximize}", lambda accuracy, survivors: (-accuracy,)),
        ("{survivors: minimize, accuracy: maximize}", lambda accuracy, survivors: (-accuracy, survivors)),
        (
            "{weighted: {accuracy: 1.0, survivors: -0.125}}",
            lambda accuracy, survivors: (0.125 * survivors - accuracy,),
        ),
    ],
)
def test_the_sampler_receives_the_losses_and_the_violation_of_the_goal(
    space: Path, tmp_path: Path, outcomes: list, objectives: str, loss
) -> None:
    limits = "constraints: {survivors: {max: 10}, accuracy: {min: 0.5}}"
    space.write_text(f"{space.read_text()}objectives: {objectives}\n{limits}\n")
    path = tmp_path / "s.db"
    trials = hebbevo.search(space, study=path, trials=16).trials()
    violations = np.maximum((trials.survivors - 10) / 10, 0.5 - trials.accuracy)
    assert [outcome.violation for outcome in outcomes] == pytest.approx(violations.tolist())
    assert 0 < (violations <= 0).sum() == trials.feasible.sum() < 16
    for outcome, accuracy, survivors in zip(outcomes, trials.accuracy, trials.survivors, strict=True):
        assert outcome.losses == pytest.approx(loss(accuracy, survivors))
