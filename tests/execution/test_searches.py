"""Whole searches on every executor: the same study, also after Ctrl-C, a kill and lost workers."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import hebbevo
from hebbevo.cli.results import unrepeatable_line
from hebbevo.errors import StudyError, UsageError
from hebbevo.study.attempts import FailureKind, Recovery
from hebbevo.study.kept_network import KeptNetwork
from hebbevo.study.ledger import Ledger
from hebbevo.training.trial_details import TrialDetails
from tests.execution.conftest import all_end

SLOW = """\
import os, pathlib, sys, time
from torch import nn
def build(learning_rate_of_mine, input_shape, num_classes):
    pathlib.Path(f"{FOLDER}/pid{os.getpid()}").touch()
    if "worker" in sys.argv[0] and os.path.exists(f"{FOLDER}/slow"):
        time.sleep(0.3)
    return nn.Sequential(nn.Linear(*input_shape, 6), nn.ReLU(), nn.Linear(6, num_classes))
"""
SLOW_SPACE = """\
version: 1
name: slow
task:    {{dataset: {data}, epochs: 1, batch_size: 32}}
network: {{module: "{module}:build"}}
search:  {{sampler: ga, population: 8, trials: 16, cohort_width: 2, seed: 2}}
genome:
  learning_rate_of_mine: {{low: 0.0, high: 1.0}}
"""


def table(study: hebbevo.Study) -> pd.DataFrame:
    return study.trials().drop(columns="seconds")


def details_of(study: hebbevo.Study) -> list[TrialDetails]:
    with Ledger.open(study.path) as ledger:
        records = [record for generation in ledger.generations() for record in generation.records]
    return [replace(record.result.details, seconds=0.0) for record in records]


def kept(study: hebbevo.Study) -> list[KeptNetwork]:
    with Ledger.open(study.path) as ledger:
        found = ledger.kept_networks()
    assert len(found) == len(study.front())
    return found


def done_in(path: str) -> int:
    return int((table(hebbevo.open_study(path)).state == "complete").sum())


def write_slow_space(folder: Path, data: Path) -> Path:
    """Write a space file, and the module of its networks, into a folder.

    The module has a name of its own, because Python imports a name once.
    """
    module = f"slow_{folder.name}"
    (folder / f"{module}.py").write_text(f"FOLDER = {str(folder)!r}\n{SLOW}")
    (folder / "slow.yaml").write_text(SLOW_SPACE.format(data=data, module=module))
    return Path("slow.yaml")


def add_to_build(*lines: str) -> None:
    """Add lines to the function that builds the networks of the slow space in this folder."""
    [module] = Path().glob("slow_*.py")
    code = "".join(f"    {line}\n" for line in lines)
    module.write_text(module.read_text().replace("    return nn.Seq", f"{code}    return nn.Seq"))


@pytest.fixture
def slow(tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A space in which workers take 0.3 seconds for a network while there is a file named ``slow``."""
    monkeypatch.chdir(tmp_path)
    return write_slow_space(tmp_path, blobs)


@pytest.fixture(scope="module")
def uninterrupted(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The trials of a search in that space that nothing interrupts."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        return table(hebbevo.search(write_slow_space(folder, blobs), study="s.db", workers=1))


# --- the same study ---


def test_the_study_is_the_same_in_this_process_in_others_and_on_ray(
    space: Path, tmp_path: Path, ray_cluster: None
) -> None:
    space.write_text(space.read_text().replace("population: 8", "population: 8, cohort_width: 4"))
    ways = {
        "here": {"workers": 1},
        "local": {"workers": 2, "executor": "local"},
        "ray": {"workers": 2, "executor": "ray"},
    }
    studies = [
        hebbevo.search(space, study=f"{tmp_path / way}.db", trials=16, keep="front", **options)
        for way, options in ways.items()
    ]
    for other in studies[1:]:
        pd.testing.assert_frame_equal(table(other), table(studies[0]), check_exact=True)
        assert details_of(other) == details_of(studies[0])
        assert kept(other) == kept(studies[0])


@pytest.mark.usefixtures("ray_cluster", "short_tuning")
def test_a_confirmation_is_the_same_in_this_process_and_on_ray(space: Path, tmp_path: Path) -> None:
    found = hebbevo.search(space, study=tmp_path / "found.db", trials=8, workers=1)
    tables = []
    for executor in ("local", "ray"):
        path = hebbevo.copy(found.path, tmp_path / f"{executor}.db")
        study = hebbevo.confirm(
            hebbevo.open_study(path),
            replicates=2,
            trials=[found.front().trial.iloc[-1]],
            workers=1,
            executor=executor,
        )
        tables.append(study.confirmation.runs().drop(columns="seconds"))
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_width_and_threads_of_a_cohort_are_settings_of_the_study(space: Path, tmp_path: Path) -> None:
    plain = hebbevo.search(space, study=tmp_path / "plain.db", trials=8)
    with Ledger.open(plain.path) as ledger:
        assert (ledger.facts.threads, ledger.facts.cohort_width) == (1, 16)
    text = space.read_text().replace("population: 8", "population: 8, cohort_width: 6, threads: 2")
    space.write_text(text)
    study = hebbevo.search(space, study=tmp_path / "changed.db", trials=8)
    with Ledger.open(study.path) as ledger:
        assert (ledger.facts.threads, ledger.facts.cohort_width) == (2, 6)
    space.write_text(text.replace("threads: 2", "threads: 1"))
    with pytest.raises(StudyError, match=r"search\.threads: 2 in the study, 1 here"):
        hebbevo.search(space, study=tmp_path / "changed.db", trials=8)


# --- Ctrl-C and kills ---


class Command:
    """A search of slow trainings in a process of its own, which leads a group as in a terminal."""

    def __init__(self, folder: Path, *words: object) -> None:
        self.folder = folder
        self.deadline = time.monotonic() + 120
        # a shell lets its background jobs ignore this signal, and their child processes inherit that
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hebbevo", *map(str, words)],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # in full: the current folder alone is not searched before a study names code there
            env={**os.environ, "PYTHONPATH": str(folder)},
        )

    def wait_while_running(self) -> None:
        """Wait a little, while the search must still run."""
        assert self.process.poll() is None and time.monotonic() < self.deadline
        time.sleep(0.05)

    def workers(self) -> list[int]:
        """The workers that have started by now."""
        pids = [int(path.name[3:]) for path in self.folder.glob("pid*")]
        return [pid for pid in pids if pid != self.process.pid]

    def wait_for_processes(self, count: int) -> None:
        """Wait until so many processes, the search included, have built a network or started as a worker."""
        while len([*self.folder.glob("pid*")]) < count:
            self.wait_while_running()

    def wait_for_trials(self, done: int) -> int:
        """Wait until at least so many trials are done; gives how many are."""
        while (count := done_in("s.db")) < done:
            self.wait_while_running()
        return count

    def wait_for_a_generation(self) -> None:
        """Wait until there is a generation to train."""
        while True:
            self.wait_while_running()
            with suppress(UsageError):
                if len(hebbevo.open_study("s.db").trials()):
                    return

    def press_ctrl_c(self) -> None:
        """Send the signal to the whole group, as a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> str:
        """Wait for the end of the search; gives its standard error."""
        try:
            return self.process.communicate(timeout=60)[1]
        finally:
            self.process.kill()


HELD_WORKER = """\
import os, pathlib, sys, time
if "hebbevo.execution.worker" in sys.orig_argv:
    pathlib.Path(f"{FOLDER}/pid{os.getpid()}").touch()
    while os.path.exists(f"{FOLDER}/worker_held"):
        time.sleep(0.02)
"""
HELD_SEARCH = (
    'while "worker" not in sys.argv[0] and os.path.exists(f"{FOLDER}/search_held"):',
    "    time.sleep(0.02)",
)


@pytest.fixture
def held(slow: Path, tmp_path: Path) -> Iterator[Path]:
    """That space; one file holds worker processes before they start, another one the preparing search."""
    add_to_build(*HELD_SEARCH)
    Path("sitecustomize.py").write_text(f"FOLDER = {str(tmp_path)!r}\n" + HELD_WORKER)
    for name in ("slow", "worker_held", "search_held"):
        Path(name).touch()
    yield slow
    for name in ("worker_held", "search_held"):  # no process waits for ever after a failed test
        Path(name).unlink(missing_ok=True)


@pytest.fixture
def running(request: pytest.FixtureRequest, slow: Path, tmp_path: Path) -> Command:
    """The search with two workers, which both train. ``cluster`` is a Ray cluster that exists before."""
    options = {"local": ("--executor", "local"), "ray": ("--executor", "ray")}.get(request.param)
    if options is None:
        options = ("--ray-address", request.getfixturevalue("ray_address"))
    Path("slow").touch()
    command = Command(tmp_path, "search", "--space", slow, "--study", "s.db", "--workers", 2, *options)
    command.wait_for_processes(3)
    return command


def resumed() -> pd.DataFrame:
    Path("slow").unlink()
    return table(hebbevo.resume("s.db", allow_code=True))


@pytest.mark.parametrize("running", ["local", "cluster"], indirect=True)
def test_after_one_ctrl_c_the_trainings_in_progress_are_recorded_and_the_workers_end(
    running: Command, uninterrupted: pd.DataFrame
) -> None:
    workers = running.workers()
    running.press_ctrl_c()
    messages = running.end()
    assert running.process.returncode == 130
    assert "Ctrl-C again stops at once" in messages
    assert "continue with 'hebbevo resume s.db'" in messages.splitlines()[-1]
    assert all_end(workers)
    done = done_in("s.db")
    assert done % 2 == 0 and 2 <= done < 16
    pd.testing.assert_frame_equal(resumed(), uninterrupted, check_exact=True)


@pytest.mark.parametrize("running", ["local", "cluster"], indirect=True)
def test_after_two_ctrl_c_the_search_stops_at_once_finished_trials_are_recorded_and_the_workers_end(
    running: Command, uninterrupted: pd.DataFrame
) -> None:
    done_before = running.wait_for_trials(4)
    workers = running.workers()
    running.press_ctrl_c()
    running.press_ctrl_c()
    messages = running.end()
    assert running.process.returncode == 130
    assert "Traceback" not in messages
    assert all_end(workers)
    states = table(hebbevo.open_study("s.db")).state
    assert set(states) <= {"complete", "running"}
    done = (states == "complete").sum()
    assert done >= done_before
    assert f"stopped: {done} of 16 trials are recorded" in messages
    pd.testing.assert_frame_equal(resumed(), uninterrupted, check_exact=True)


@pytest.mark.parametrize("running", ["ray"], indirect=True)
def test_after_a_kill_the_workers_end_and_a_resumed_search_trains_only_the_missing_trials(
    running: Command, uninterrupted: pd.DataFrame
) -> None:
    running.wait_for_trials(4)
    workers = running.workers()
    os.kill(running.process.pid, signal.SIGKILL)
    running.end()
    assert all_end(workers)
    done = done_in("s.db")
    assert 4 <= done < 16
    seen: list[hebbevo.Progress] = []
    Path("slow").unlink()
    study = hebbevo.resume("s.db", allow_code=True, watch=seen.append)
    assert seen[0].trials == done and seen[-1].fresh == 16 - done
    pd.testing.assert_frame_equal(table(study), uninterrupted, check_exact=True)


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_ctrl_c_while_the_workers_start_ends_the_search_as_usual(
    held: Path, tmp_path: Path, executor: str
) -> None:
    command = Command(
        tmp_path, "search", "--space", held, "--study", "s.db", "--executor", executor, "--workers", 2
    )
    Path("search_held").unlink()
    command.wait_for_a_generation()
    command.press_ctrl_c()
    messages = command.end()
    assert command.process.returncode == 130
    assert "Traceback" not in messages
    assert "continue with 'hebbevo resume s.db'" in messages.splitlines()[-1]
    assert all_end(command.workers())


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGKILL])
def test_a_prestarted_worker_ends_with_a_search_that_ends_before_its_study_exists(
    held: Path, tmp_path: Path, signal_: int
) -> None:
    command = Command(tmp_path, "search", "--space", held, "--study", "s.db", "--workers", 2)
    command.wait_for_processes(2)
    workers = command.workers()
    assert len(workers) == 1
    os.killpg(command.process.pid, signal_)
    if signal_ == signal.SIGKILL:
        Path("worker_held").unlink()  # once it has started, the worker finds that its input is closed
    messages = command.end()
    if signal_ == signal.SIGINT:
        assert (command.process.returncode, messages.strip()) == (130, "stopped")
    assert all_end(workers)
    assert not Path("s.db").exists()


# --- lost workers ---


def test_every_failed_attempt_is_recorded_with_its_reason_and_the_search_continues(
    slow: Path, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hebbevo.execution.dispatch.RETRIES", 1)  # a worker takes seconds to start
    add_to_build(f"if learning_rate_of_mine > 0.85 and os.getpid() != {os.getpid()}:", "    os._exit(5)")
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(
        slow, study="s.db", trials=8, executor="ray", workers=2, watch=seen.append, trial_timeout=60
    )
    trials = study.trials()
    kills = trials["genome.learning_rate_of_mine"] > 0.85
    assert 0 < kills.sum() < 8
    assert (trials.state == kills.map({True: "failed", False: "complete"})).all()
    assert trials.failure[kills].str.contains("its worker").all()
    assert (trials.attempts[kills] >= 3).all()
    assert trials.failure[~kills].isna().all()
    notices = [progress.notice for progress in seen if progress.notice]
    assert any(notice.endswith("; trained again") for notice in notices)
    with Ledger.open(study.path) as ledger:
        [generation] = ledger.generations()
    for record, kills_its_worker in zip(generation.records, kills, strict=True):
        attempts = record.attempts
        assert [str(each.recovery) for each in attempts[:2]] == (["again", "in halves"] if attempts else [])
        if kills_its_worker:
            assert (attempts[-1].kind, attempts[-1].recovery) == (FailureKind.CRASH, Recovery.FAILED)
            assert attempts[-1].trials == (record.number,)
            assert attempts[-1].worker.startswith("process ")
    assert trials.repeatable.equals(trials.attempts == 1)
    line = unrepeatable_line(study)
    assert re.match(r"trial \d( and \d later ones)? lacked time, memory or a worker: ", line)


def test_a_study_whose_lost_workers_changed_no_result_is_repeatable(
    slow: Path, uninterrupted: pd.DataFrame
) -> None:
    add_to_build(
        f'if os.getpid() != {os.getpid()} and not os.path.exists("has_crashed"):',
        '    pathlib.Path("has_crashed").touch()',
        "    os._exit(5)",
    )
    study = hebbevo.search(slow, study="s.db", executor="local", workers=2)
    assert study.trials().attempts.max() == 2
    assert study.trials().repeatable.all()
    assert unrepeatable_line(study) is None
    pd.testing.assert_frame_equal(
        table(study).drop(columns="attempts"), uninterrupted.drop(columns="attempts"), check_exact=True
    )


def test_a_trial_timeout_stops_a_training_even_with_a_single_worker(
    slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hebbevo.execution.dispatch.RETRIES", 1)  # a worker takes seconds to start
    add_to_build(f"if learning_rate_of_mine > 0.85 and os.getpid() != {os.getpid()}:", "    time.sleep(1000)")
    study = hebbevo.search(slow, study="s.db", trials=8, workers=1, trial_timeout=1.0)
    trials = study.trials()
    hang = trials["genome.learning_rate_of_mine"] > 0.85
    assert 0 < hang.sum() < 8
    assert (trials.state == hang.map({True: "failed", False: "complete"})).all()
    assert trials.failure[hang].str.startswith("took longer than 1 s").all()
    assert not trials.repeatable[hang].any()
