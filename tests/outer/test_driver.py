import contextlib
import io
import multiprocessing
import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import torch

import hebbevo
from hebbevo.errors import ReplayMismatch, SearchInterrupted, StudyError, UsageError
from hebbevo.execution import worker_setup
from hebbevo.outer import driver, preflight
from hebbevo.samplers import SAMPLERS, Genetic
from hebbevo.samplers.sampler import Sampler
from hebbevo.space.genes import canonical
from hebbevo.study.ledger import Ledger


def table(path: Path) -> pd.DataFrame:
    return hebbevo.open_study(path).trials().drop(columns="seconds")


def details(path: Path) -> list[dict]:
    with Ledger.open(path) as ledger:
        records = [record for generation in ledger.generations() for record in generation.records]
    return [{k: v for k, v in record.result.details.items() if k != "seconds"} for record in records]


@pytest.fixture
def straight(space: Path, tmp_path: Path) -> Path:
    """A study of 24 trials that nothing interrupted."""
    return hebbevo.search(space, study=tmp_path / "straight.db").path


def test_a_search_reaches_its_trials_and_scores_both_objectives(straight: Path) -> None:
    study = hebbevo.open_study(straight)
    trials = study.trials()
    assert trials.trial.tolist() == list(range(24))
    assert set(trials.state) == {"complete"}
    assert trials.generation.tolist() == [number // 8 for number in range(24)]
    assert trials.accuracy.between(0, 1).all()
    assert trials.survivors.between(0, 20).all()
    assert trials.accuracy_sd.notna().all()
    assert trials.accuracy.max() > 0.8 > study.chance


def test_the_same_search_gives_the_same_study(space: Path, straight: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)
    random.seed(99)
    again = hebbevo.search(space, study=tmp_path / "again.db").path
    pd.testing.assert_frame_equal(table(again), table(straight), check_exact=True)
    assert details(again) == details(straight)


def test_the_study_does_not_depend_on_the_number_of_workers(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "_WIDEST_COHORT", {"cpu": 5})  # four cohorts a generation
    tables = []
    for workers in (1, 2, 3):
        path = hebbevo.search(space, study=tmp_path / f"{workers}.db", workers=workers).path
        tables.append((table(path), details(path)))
    for other, other_details in tables[1:]:
        pd.testing.assert_frame_equal(other, tables[0][0], check_exact=True)
        assert other_details == tables[0][1]


def test_another_seed_gives_another_study(space: Path, straight: Path, tmp_path: Path) -> None:
    other = hebbevo.search(space, study=tmp_path / "other.db", seed=4).path
    assert not table(other).equals(table(straight))


def test_killed_at_random_moments_the_study_is_the_one_that_was_never_killed(
    space: Path, straight: Path, tmp_path: Path
) -> None:
    path = tmp_path / "killed.db"
    rng = random.Random(5)
    seen = []
    command = [sys.executable, "-m", "hebbevo", "search", "--space", str(space), "--study", str(path)]
    for _ in range(4):
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
    pd.testing.assert_frame_equal(table(path), table(straight), check_exact=True)
    assert details(path) == details(straight)


def test_interrupted_once_it_records_what_is_done_and_resumes_to_the_same_study(
    space: Path, straight: Path, tmp_path: Path
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
    pd.testing.assert_frame_equal(table(path), table(straight), check_exact=True)


def test_interrupted_twice_it_stops_at_once_and_loses_nothing(
    space: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "twice.db"
    from hebbevo.execution import worker_setup

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
    pd.testing.assert_frame_equal(table(path), table(straight), check_exact=True)


def test_the_handler_of_ctrl_c_is_put_back(space: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    hebbevo.search(space, study=tmp_path / "s.db", trials=8)
    assert signal.getsignal(signal.SIGINT) is before


def test_trials_is_the_total_and_more_of_them_continue_the_study(space: Path, tmp_path: Path) -> None:
    path = tmp_path / "grown.db"
    hebbevo.search(space, study=path, trials=12)
    short = table(path)
    assert len(short) == 12
    hebbevo.search(space, study=path, trials=24)
    grown = table(path)
    assert len(grown) == 24
    pd.testing.assert_frame_equal(grown[:12], short, check_exact=True)
    assert grown.generation.tolist() == [0] * 8 + [1] * 4 + [2] * 8 + [3] * 4
    hebbevo.resume(path)
    assert len(table(path)) == 24
    hebbevo.resume(path, trials=30)
    assert len(table(path)) == 30


def test_replay_trains_nothing_again(space: Path, straight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, trained = worker_setup.train, []

    def watched(recipe, candidates, *rest):
        trained.extend(canonical(candidate.genome) for candidate in candidates)
        return real(recipe, candidates, *rest)

    monkeypatch.setattr(worker_setup, "train", watched)
    with Ledger.open(straight) as book:
        recorded = {
            canonical(each.genome) for generation in book.generations() for each in generation.records
        }
    hebbevo.resume(straight, trials=32, workers=1)
    assert trained
    assert not recorded & set(trained)


def test_a_finished_study_is_not_replayed(
    space: Path, straight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Genetic, "_ask", lambda *_: pytest.fail("a finished study was replayed"))
    before = table(straight)
    hebbevo.search(space, study=straight)
    pd.testing.assert_frame_equal(table(straight), before)


def test_a_sampler_that_asks_otherwise_is_a_replay_mismatch_that_names_the_generation(
    straight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Genetic._ask
    monkeypatch.setattr(
        Genetic, "_ask", lambda self, n: real(self, n)[::-1] if self.generation == 1 else real(self, n)
    )
    with pytest.raises(ReplayMismatch, match=r"generation 1 .*the same library versions"):
        hebbevo.resume(straight, trials=32)


def test_replay_mismatch_names_the_versions_that_changed(
    straight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Genetic, "_ask", lambda self, n: self.space.sample(n, np.random.default_rng(1)))
    monkeypatch.setattr(driver, "version", lambda name: "0.0.1")
    with pytest.raises(ReplayMismatch, match=r"deap \S+ -> 0\.0\.1"):
        hebbevo.resume(straight, trials=32)


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ({"seed": 7}, "search.seed: 3 in the study, 7 here"),
        ({"population": 12}, "search.population: 8 in the study, 12 here"),
        ({"replicates": 1}, "search.replicates: 2 in the study, 1 here"),
        ({"epochs": 4}, "task.epochs: 3 in the study, 4 here"),
        ({"dataset": "digits"}, "task.dataset"),
    ],
)
def test_a_rerun_with_other_settings_is_refused_with_the_difference(
    space: Path, straight: Path, override: dict, difference: str
) -> None:
    with pytest.raises(StudyError, match="made with other settings") as caught:
        hebbevo.search(space, study=straight, **override)
    assert difference in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_changed_space_is_refused_with_the_difference(space: Path, straight: Path) -> None:
    space.write_text(space.read_text().replace("high: 100", "high: 50"))
    with pytest.raises(
        StudyError, match=r"genome\.unactivation_penalty\.high: 100.* in the study, 50.* here"
    ):
        hebbevo.search(space, study=straight)


def test_resume_refuses_changed_data(space: Path, tmp_path: Path, blobs: Path) -> None:
    own = tmp_path / "own.npz"
    with np.load(blobs) as arrays:
        x, y = arrays["x"], arrays["y"]
    np.savez(own, x=x, y=y)
    path = hebbevo.search(space, study=tmp_path / "s.db", trials=8, dataset=str(own)).path
    np.savez(own, x=x + 1, y=y)
    with pytest.raises(StudyError, match=r"own\.npz has changed"):
        hebbevo.resume(path, trials=16)


def test_a_second_search_on_the_same_study_is_refused(space: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    refusals = []

    def second(progress: hebbevo.Progress) -> None:
        with pytest.raises(StudyError, match="has been searching it since 20") as caught:
            hebbevo.resume(path)
        refusals.append(caught.value)

    hebbevo.search(space, study=path, trials=8, watch=second)
    assert refusals


def test_a_failed_training_is_recorded_with_its_reason_and_the_search_goes_on(
    space: Path, tmp_path: Path
) -> None:
    text = space.read_text().replace("low: 3e-3, high: 3e-2", "low: 1e-2, high: 1e30")
    space.write_text(text)
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=16)
    trials = study.trials()
    failed = trials[trials.state == "failed"]
    assert 0 < len(failed) < 16
    assert failed.failure.str.contains(r"the loss became NaN or infinite at step \d+").all()
    assert failed.accuracy.isna().all()
    assert study.front().accuracy.notna().all()


def test_collapsed_nets_keep_chance_accuracy_and_are_marked(space: Path, tmp_path: Path) -> None:
    text = space.read_text().replace("warmup: 4", "min_neurons: 0, max_deaths: 1.0, warmup: 4")
    space.write_text(text.replace("low: 1e-2, high: 100, log: true", "low: 1e3, high: 1e4, log: true"))
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=8, replicates=1)
    trials = study.trials()
    assert trials.collapsed.any()
    assert (trials.survivors[trials.collapsed] == 0).all()
    assert (trials.survivors[~trials.collapsed] > 0).all()
    assert (trials.accuracy[trials.collapsed] == study.chance).all()  # three classes of equal size


def test_packing_depends_on_the_study_alone_and_keeps_replicates_together() -> None:
    from hebbevo.study.ledger import Record

    records = tuple(Record(number, {"a": number / 10}, None) for number in range(7))
    batches = driver.pack(records, replicates=2, cohort_width=6)
    assert [batch.trials for batch in batches] == [(0, 1, 2), (3, 4, 5), (6,)]
    first = [(candidate.genome["a"], candidate.replicate) for candidate in batches[0].candidates]
    assert first == [(0.0, 0), (0.0, 1), (0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]


def test_progress_tells_what_the_study_holds(space: Path, tmp_path: Path) -> None:
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=16, watch=seen.append)
    assert [progress.trials for progress in seen] == [0, 8, 16]
    assert seen[-1].front == len(study.front())
    assert seen[-1].hypervolume == pytest.approx(study.hypervolume())
    assert seen[0].fresh == 0


@pytest.mark.parametrize(
    ("precision", "has", "told"),
    [("bfloat16", False, True), ("bfloat16", True, False), ("float32", False, False)],
)
def test_bfloat16_is_warned_of_where_it_is_imitated(
    precision: str, has: bool, told: bool, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hebbevo.outer.driver._has_bfloat16", lambda: has)
    seen: list[hebbevo.Progress] = []
    hebbevo.search(space, study=tmp_path / "s.db", trials=8, precision=precision, watch=seen.append)
    assert seen[0].notice.startswith("this CPU has no instructions for bfloat16") is told


def test_trainings_too_short_for_a_death_are_told_of_at_once(space: Path, tmp_path: Path) -> None:
    space.write_text(space.read_text().replace("warmup: 4", "warmup: 400"))
    seen: list[hebbevo.Progress] = []
    hebbevo.search(space, study=tmp_path / "s.db", trials=8, watch=seen.append)
    assert seen[0].notice.startswith("no neuron can die: 3 x 168 rows end before the warm-up; raise")
    assert {progress.notice for progress in seen[1:]} == {""}


def test_the_test_set_has_no_influence_on_a_search(space: Path, tmp_path: Path, blobs: Path) -> None:
    with np.load(blobs) as arrays:
        x, y = arrays["x"], arrays["y"]
    tables = []
    for name, noise in (("a", 0.0), ("b", 100.0)):
        file = tmp_path / f"{name}.npz"
        np.savez(file, x=x, y=y, x_test=x[:30] + noise, y_test=y[:30])
        tables.append(
            table(hebbevo.search(space, study=tmp_path / f"{name}.db", trials=8, dataset=str(file)).path)
        )
    pd.testing.assert_frame_equal(*tables, check_exact=True)


# --- budgets ---


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(driver, "monotonic", clock)
    return clock


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cohorts of two genomes, four of them a generation."""
    monkeypatch.setattr(preflight, "_WIDEST_COHORT", {"cpu": 5})


def progresses(path: Path) -> list[float]:
    with Ledger.open(path) as ledger:
        return [generation.progress for generation in ledger.generations()]


@pytest.mark.usefixtures("pairs")
def test_when_time_is_over_no_cohort_begins_and_the_resumed_study_is_the_one_without_a_timeout(
    space: Path, tmp_path: Path, clock: Clock
) -> None:
    straight = hebbevo.search(space, study=tmp_path / "straight.db").path
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
    pd.testing.assert_frame_equal(table(path), table(straight), check_exact=True)
    assert details(path) == details(straight)


@pytest.mark.usefixtures("pairs")
def test_of_many_workers_each_finishes_what_it_had_begun_when_time_was_over(
    space: Path, tmp_path: Path, clock: Clock
) -> None:
    def let_time_pass(progress: hebbevo.Progress) -> None:
        clock.now = 60.0 * progress.trials

    study = hebbevo.search(space, study=tmp_path / "s.db", workers=2, timeout="1m", watch=let_time_pass)
    done = study.trials().state == "complete"
    assert 2 <= done.sum() <= 2 * (1 + 2)


def test_the_progress_of_a_generation_is_the_part_of_trials_or_of_time_that_was_spent(
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


def test_the_recorded_progress_is_replayed_whatever_the_clock_says_now(
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


def test_an_option_holds_for_its_run_and_a_timeout_in_the_file_for_every_run(
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


def test_a_longer_study_that_is_stopped_before_it_asks_says_how_to_go_on(
    straight: Path, clock: Clock
) -> None:
    seen: list[hebbevo.Progress] = []

    def tick(progress: hebbevo.Progress) -> None:
        seen.append(progress)
        clock.now += 10

    hebbevo.resume(straight, trials=40, timeout=5, watch=tick)
    assert seen[-1].notice == (
        f"stopped after 5s: 24 of 40 trials; continue with 'hebbevo resume {straight} --trials 40'"
    )


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "ten", "", True])
def test_what_is_no_length_of_time_is_refused_before_anything_is_made(
    space: Path, tmp_path: Path, timeout: object
) -> None:
    path = tmp_path / "s.db"
    with pytest.raises(UsageError, match=r"^--timeout: .* is not a length of time; write seconds"):
        hebbevo.search(space, study=path, timeout=timeout)
    assert not path.exists()


# --- goals ---


def told(space: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> list:
    """The outcomes that a search tells its sampler."""
    outcomes = []
    real = Genetic._tell

    def tell(self, generation):
        outcomes.extend(generation)
        real(self, generation)

    with monkeypatch.context() as patch:
        patch.setattr(Genetic, "_tell", tell)
        hebbevo.search(space, study=path, trials=16)
    return outcomes


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
def test_the_sampler_is_told_the_losses_and_the_excess_of_the_goal(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objectives: str, loss
) -> None:
    limits = "constraints: {survivors: {max: 10}, accuracy: {min: 0.5}}"
    space.write_text(f"{space.read_text()}objectives: {objectives}\n{limits}\n")
    path = tmp_path / "s.db"
    outcomes = told(space, path, monkeypatch)
    trials = hebbevo.open_study(path).trials()
    excesses = np.maximum((trials.survivors - 10) / 10, 0.5 - trials.accuracy)
    assert [outcome.violation for outcome in outcomes] == pytest.approx(excesses.tolist())
    assert 0 < (excesses <= 0).sum() == trials.feasible.sum() < 16
    for outcome, accuracy, survivors in zip(outcomes, trials.accuracy, trials.survivors, strict=True):
        assert outcome.losses == pytest.approx(loss(accuracy, survivors))


def test_the_progress_counts_only_what_meets_the_constraints(space: Path, tmp_path: Path) -> None:
    space.write_text(f"{space.read_text()}constraints: {{survivors: {{max: 10}}}}\n")
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(space, study=tmp_path / "s.db", watch=seen.append)
    assert study.trials().survivors.max() > 10 >= study.front().survivors.max()
    assert seen[-1].front == len(study.front()) > 0
    assert seen[-1].hypervolume == pytest.approx(study.hypervolume())


# --- copies ---


@pytest.fixture
def exhausted(space: Path) -> Path:
    """A space file with six genomes, one of which fails, and 24 trials."""
    head = space.read_text().split("genome:")[0]
    genes = "  penalty_form: {choices: [mean, ratio, zero_sum]}\n  learning_rate: {choices: [0.01, 1e30]}\n"
    space.write_text(f"{head}genome:\n{genes}")
    return space


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, int]]:
    """What is trained, as (form, learning rate, replicate), while this is looked at."""
    from hebbevo.execution import worker_setup

    real, seen = worker_setup.train, []

    def train(recipe, candidates, *rest):
        seen.extend((*candidate.genome.values(), candidate.replicate) for candidate in candidates)
        return real(recipe, candidates, *rest)

    monkeypatch.setattr(worker_setup, "train", train)
    return seen


def test_a_genome_is_trained_once_and_later_trials_of_it_are_copies(
    exhausted: Path, tmp_path: Path, trained: list
) -> None:
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(exhausted, study=tmp_path / "s.db", watch=seen.append)
    assert len(trained) == len(set(trained)) == 6 * 2
    trials = study.trials()
    assert len(trials) == 24
    assert trials.generation.tolist() == [number // 8 for number in range(24)]
    names = ["genome.penalty_form", "genome.learning_rate"]
    first = trials.groupby(names).trial.transform("min")
    copies = trials[trials.trial != first]
    assert len(copies) == 18
    assert trials.copy_of.dropna().tolist() == first[copies.index].tolist()
    assert (copies.seconds == 0).all() and (trials.seconds.drop(copies.index) > 0).all()
    same = ["state", "accuracy", "accuracy_sd", "survivors", "survivors_sd", "collapsed", "failure"]
    originals = trials.loc[copies.copy_of, same].reset_index(drop=True)
    pd.testing.assert_frame_equal(copies[same].reset_index(drop=True), originals, check_exact=True)
    assert {"failed", "complete"} == set(copies.state)
    assert not set(study.front().trial) & set(copies.trial)
    assert seen[-1].copies == 18 and seen[-1].trials == 24


def test_a_copy_is_recorded_in_the_transaction_of_its_original_or_after_it(
    exhausted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohorts = []
    real = Ledger.close_cohort

    def close_cohort(self, results):
        cohorts.append({result.number: result.details.get("copy_of") for result in results})
        real(self, results)

    monkeypatch.setattr(Ledger, "close_cohort", close_cohort)
    trials = hebbevo.search(exhausted, study=tmp_path / "s.db").trials()
    first = trials[(trials.generation == 0) & trials.copy_of.notna()]
    assert len(first)  # of six genomes, among eight trials
    assert cohorts[0].keys() == set(range(8))
    assert [set(range(8, 16)), set(range(16, 24))] == [set(cohort) for cohort in cohorts[1:]]
    assert all(original < 8 for cohort in cohorts[1:] for original in cohort.values())


def test_generations_of_copies_alone_train_nothing_and_end(
    exhausted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hebbevo.search(exhausted, study=tmp_path / "s.db", trials=8).path
    monkeypatch.setattr("hebbevo.execution.worker_setup.train", lambda *_: pytest.fail("a copy was trained"))
    grown = hebbevo.resume(path, trials=100)
    assert len(grown.trials()) == 100
    assert set(grown.trials().state) == {"complete", "failed"}


@pytest.mark.usefixtures("pairs")
def test_repeats_that_an_earlier_version_trained_stay_as_they_are(
    exhausted: Path, tmp_path: Path, trained: list
) -> None:
    path = hebbevo.search(exhausted, study=tmp_path / "s.db", trials=8).path
    before = hebbevo.open_study(path).trials().drop(columns="seconds")
    repeat = int(before.trial[before.copy_of.notna()].iloc[0])
    halves = [number for number in range(8) if pd.isna(before.copy_of[number])][1::2]  # of every cohort
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ids = {number: key for key, number in connection.execute("SELECT trial_id, number FROM trials")}
        keys = ",".join(str(ids[number]) for number in halves)
        connection.execute(
            "DELETE FROM trial_user_attributes WHERE key = 'copy_of' AND trial_id = ?", [ids[repeat]]
        )
        connection.execute(f"DELETE FROM trial_user_attributes WHERE trial_id IN ({keys})")
        connection.execute(f"DELETE FROM trial_values WHERE trial_id IN ({keys})")
        connection.execute(f"UPDATE trials SET state = 'RUNNING' WHERE trial_id IN ({keys})")
        connection.commit()
    trained.clear()
    after = hebbevo.resume(path).trials().drop(columns="seconds")
    assert trained
    before.loc[repeat, "copy_of"] = pd.NA
    before.loc[repeat, "attempts"] = 1
    pd.testing.assert_frame_equal(after, before, check_exact=True)


# --- kills at every write ---


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
    straight = hebbevo.search(space, study=tmp_path / "straight.db", trials=16).path
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
    pd.testing.assert_frame_equal(table(path), table(straight), check_exact=True)
    assert details(path) == details(straight)


# halving

HALVED = dict(trials=60, population=20, epochs=6, replicates=1, halving=True)


@pytest.fixture
def halved(space: Path, tmp_path: Path) -> Path:
    """A study of 60 trials some of which were stopped early."""
    return hebbevo.search(space, study=tmp_path / "halved.db", **HALVED).path


def test_trials_are_stopped_once_others_have_finished_and_the_record_says_why(halved: Path) -> None:
    trials = table(halved)
    assert set(trials.state[:20]) == {"complete"}
    stopped = trials[trials.state == "stopped"]
    assert 5 <= len(stopped) <= 40
    assert stopped.accuracy.isna().all()
    assert not stopped.feasible.any()
    for number, own in enumerate(details(halved)):
        epochs = len(own["accuracy_per_epoch"])
        assert len(own["survivors_per_epoch"]) == own["epochs"] == epochs
        if trials.state[number] == "complete":
            assert "stopped" not in own
            assert epochs == 6
            continue
        assert own["stopped"]["epoch"] == epochs < 6
        assert f"after {epochs} epochs" in own["stopped"]["reason"]
        assert own["stopped"]["heading"] is None or 0 <= own["stopped"]["heading"][0] <= 1
    with Ledger.open(halved) as book:
        found = optuna.load_study(study_name=None, storage=book._storage).get_trials(deepcopy=False)
    assert [trial.number for trial in found if trial.state is optuna.trial.TrialState.PRUNED] == [
        *stopped.trial
    ]


def test_without_halving_every_training_goes_to_its_end(space: Path, tmp_path: Path) -> None:
    study = hebbevo.search(space, study=tmp_path / "s.db", **{**HALVED, "halving": None})
    assert set(study.trials().state) == {"complete"}
    with pytest.raises(StudyError, match=r"search\.halving"):
        hebbevo.search(space, study=tmp_path / "s.db", **HALVED)


def test_who_is_stopped_does_not_depend_on_workers_nor_on_an_interruption(
    space: Path, halved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "interrupted.db"

    def press_ctrl_c(progress: hebbevo.Progress) -> None:
        if progress.trials == 40 and not progress.notice:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(SearchInterrupted):
        hebbevo.search(space, study=path, workers=1, watch=press_ctrl_c, **HALVED)
    hebbevo.resume(path, workers=2)
    pd.testing.assert_frame_equal(table(path), table(halved), check_exact=True)
    assert details(path) == details(halved)


def test_the_standard_of_a_generation_knows_finished_and_stopped_trials_of_earlier_ones(
    halved: Path,
) -> None:
    with Ledger.open(halved) as book:
        *earlier, last = book.generations()
        before = [record for generation in earlier for record in generation.records]
        after = [*before, *last.records]
        one, again, other = (driver.standard_of(book, records) for records in (before, before[:], after))
    assert pickle.dumps(one) == pickle.dumps(again) != pickle.dumps(other)
    assert one.rungs
    with Ledger.open(halved) as book:
        assert driver.standard_of(book, before[:10]).rungs == ()


def test_samplers_are_told_where_a_stopped_trial_was_heading_and_nothing_where_that_is_not_known(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    real = Genetic._tell
    monkeypatch.setattr(Genetic, "_tell", lambda self, told: (outcomes.extend(told), real(self, told)))
    path = hebbevo.search(space, study=tmp_path / "s.db", sampler="ga", workers=1, **HALVED).path
    finished = [o.losses for o, state in zip(outcomes, table(path).state, strict=True) if state == "complete"]
    for outcome, own in zip(outcomes, details(path), strict=True):
        if "stopped" not in own:
            continue
        if own["stopped"]["heading"] is None:
            assert outcome.losses is None
            continue
        accuracy, survivors = own["stopped"]["heading"]
        assert outcome.losses == (-accuracy, survivors)
        assert any(a <= -accuracy and s <= survivors for a, s in finished)
    assert any("stopped" in own for own in details(path))


def test_replicates_are_stopped_together(space: Path, tmp_path: Path) -> None:
    study = hebbevo.search(space, study=tmp_path / "s.db", **{**HALVED, "replicates": 2})
    assert (study.trials().state == "stopped").any()
    for own in details(study.path):
        assert len(own["replicates"]) == 2
        assert own["epochs"] == len(own["accuracy_per_epoch"])


def test_a_trial_that_others_added_is_in_nobodys_way(space: Path, tmp_path: Path) -> None:
    path = hebbevo.search(space, study=tmp_path / "s.db", trials=8, halving=True).path
    storage = f"sqlite:///{path}"
    [name] = optuna.get_all_study_names(storage)
    optuna.load_study(study_name=name, storage=storage).add_trial(
        optuna.trial.create_trial(values=[0.5, 3.0])
    )
    assert len(hebbevo.resume(path, trials=24).trials()) == 24


def test_a_ctrl_c_in_the_midst_of_a_line_is_told_of_after_it(space: Path, tmp_path: Path) -> None:
    class Interrupting(io.RawIOBase):
        """Writing takes so long that a signal comes meanwhile."""

        told = b""

        def writable(self) -> bool:
            return True

        def write(self, line) -> int:
            if self.told.count(b"\n") == 1:
                signal.raise_signal(signal.SIGINT)
            self.told += bytes(line)
            return len(line)

    raw = Interrupting()
    stream = io.BufferedWriter(raw)

    def watch(progress: hebbevo.Progress) -> None:
        stream.write(progress.notice.encode() + b"\n")
        stream.flush()

    with pytest.raises(SearchInterrupted, match="continue with"):
        hebbevo.search(space, study=tmp_path / "s.db", trials=16, watch=watch)
    assert raw.told.count(b"finishing the trainings under way") == 1
