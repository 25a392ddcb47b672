import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import hebbevo
from hebbevo import loop
from hebbevo.errors import ReplayMismatch, SearchInterrupted, StudyError
from hebbevo.ledger import Ledger
from hebbevo.samplers import Genetic


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
    monkeypatch.setattr(loop, "_WIDEST_COHORT", 5)  # four cohorts a generation
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
    from hebbevo.executors import serial

    real, calls = serial.train, []

    def train(*args: object) -> object:
        calls.append(args)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(serial, "train", train)
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
    monkeypatch.setattr(
        "hebbevo.executors.serial.train", lambda *_: pytest.fail("a recorded trial was trained")
    )
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
    monkeypatch.setattr(loop, "version", lambda name: "0.0.1")
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
        with pytest.raises(StudyError, match="another search is writing") as caught:
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
    from hebbevo.ledger import Generation, Record

    records = tuple(Record(number, {"a": number / 10}, None) for number in range(7))
    batches = loop.pack(Generation(0, 7, records), replicates=2, cohort_width=6)
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
