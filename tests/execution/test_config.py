"""Who trains: options, and that a study does not depend on them, through whole searches and their ends."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import torch

import hebbevo
from hebbevo.cli.results import repeat_line
from hebbevo.errors import StudyError, UsageError
from hebbevo.execution import prestart
from hebbevo.execution.config import ExecutorConfig
from hebbevo.study.attempts import FailureKind, Recovery
from hebbevo.study.ledger import Ledger

SLOW = """\
import os, pathlib, sys, time
from torch import nn
def build(learning_rate_of_mine, input_shape, num_classes):
    pathlib.Path(f"{FOLDER}/pid{os.getpid()}").touch()
    if "worker" in sys.argv[0] and os.path.exists(f"{FOLDER}/slow"):
        time.sleep(SECONDS)
    return nn.Sequential(nn.Linear(*input_shape, 6), nn.ReLU(), nn.Linear(6, num_classes))
"""
SLOW_SPACE = """\
version: 1
name: slow
task:    {{dataset: {data}, epochs: 1, batch_size: 32}}
network: {{module: "{code}:build"}}
search:  {{sampler: ga, population: 8, trials: 16, cohort_width: 2, seed: 2}}
genome:
  learning_rate_of_mine: {{low: 0.0, high: 1.0}}
"""


def table(study: hebbevo.Study) -> pd.DataFrame:
    return study.trials().drop(columns="seconds")


def recorded(study: hebbevo.Study) -> list[dict]:
    with Ledger.open(study.path) as ledger:
        records = [record for generation in ledger.generations() for record in generation.records]
    return [{k: v for k, v in record.result.details.items() if k != "seconds"} for record in records]


# --- the same study ---


def test_the_study_is_the_same_in_this_process_in_others_and_on_ray(space: Path, tmp_path: Path) -> None:
    space.write_text(space.read_text().replace("population: 8", "population: 8, cohort_width: 4"))
    ways = {
        "here": {"workers": 1},
        "local": {"workers": 2, "executor": "local"},
        "ray1": {"workers": 1, "executor": "ray"},
        "ray2": {"workers": 2, "executor": "ray"},
    }
    studies = [hebbevo.search(space, study=f"{tmp_path / way}.db", **pool) for way, pool in ways.items()]
    for other in studies[1:]:
        pd.testing.assert_frame_equal(table(other), table(studies[0]), check_exact=True)
        assert recorded(other) == recorded(studies[0])


def test_width_and_threads_of_a_cohort_are_settings_of_the_study(space: Path, tmp_path: Path) -> None:
    plain = hebbevo.search(space, study=tmp_path / "plain.db", trials=8)
    with Ledger.open(plain.path) as book:
        assert (book.facts["threads"], book.facts["cohort_width"]) == (1, 16)
    text = space.read_text().replace("population: 8", "population: 8, cohort_width: 6, threads: 2")
    space.write_text(text)
    study = hebbevo.search(space, study=tmp_path / "own.db", trials=8)
    with Ledger.open(study.path) as book:
        assert (book.facts["threads"], book.facts["cohort_width"]) == (2, 6)
    space.write_text(text.replace("threads: 2", "threads: 1"))
    with pytest.raises(StudyError, match=r"search\.threads: 2 in the study, 1 here"):
        hebbevo.search(space, study=tmp_path / "own.db", trials=8)


# --- ends ---


class Command:
    """A search of slow trainings in a process of its own, with everybody who belongs to its terminal."""

    def __init__(self, folder: Path, *words: object) -> None:
        self.folder = folder
        for old in folder.glob("pid*"):
            old.unlink()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hebbevo", *map(str, words)],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def workers(self, at_least: int = 2) -> list[int]:
        deadline = time.monotonic() + 60
        while len(found := [int(path.name[3:]) for path in self.folder.glob("pid*")]) < at_least:
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.05)
        return [pid for pid in found if pid != self.process.pid]

    def done(self, at_least: int) -> int:
        deadline = time.monotonic() + 60
        while (done := (table(hebbevo.open_study("s.db")).state == "complete").sum()) < at_least:
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.05)
        return int(done)

    def started(self) -> list[int]:
        return [pid for path in self.folder.glob("pid*") if (pid := int(path.name[3:])) != self.process.pid]

    def go_on(self) -> None:
        """Let the search itself go on, and not yet its workers."""
        self.folder.joinpath("search_held").unlink()

    def asked(self) -> None:
        """Wait until there is a generation to train."""
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline and self.process.poll() is None
            with suppress(UsageError):
                if len(hebbevo.open_study("s.db").trials()):
                    return
            time.sleep(0.05)

    def press_ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> str:
        try:
            _, told = self.process.communicate(timeout=60)
        finally:
            self.process.kill()
        return told


def all_gone(pids: list[int], seconds: float = 60) -> bool:
    def alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(map(alive, pids)):
        time.sleep(0.05)
    return not any(map(alive, pids))


@pytest.fixture
def slow(
    tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """A space whose trainings take half a second while a file named slow is there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    code = f"slow_{tmp_path.name}"
    Path(f"{code}.py").write_text(f"FOLDER = {str(tmp_path)!r}\nSECONDS = 0.5\n" + SLOW)
    Path("slow.yaml").write_text(SLOW_SPACE.format(data=blobs, code=code))
    return Path("slow.yaml")


HELD_WORKER = """\
import os, pathlib, sys, time
if "hebbevo.execution.worker" in sys.orig_argv:
    pathlib.Path(f"{FOLDER}/pid{os.getpid()}").touch()
    while os.path.exists(f"{FOLDER}/held"):
        time.sleep(0.02)
"""
HELD_SEARCH = """\
    while "worker" not in sys.argv[0] and os.path.exists(f"{FOLDER}/search_held"):
        time.sleep(0.02)
"""


@pytest.fixture
def held(slow: Path, tmp_path: Path) -> Iterator[Path]:
    """That space; worker processes begin once a file is gone, and a search gets ready once another is."""
    code = next(Path().glob("slow_*.py"))
    code.write_text(code.read_text().replace("    return nn.Seq", f"{HELD_SEARCH}    return nn.Seq"))
    Path("sitecustomize.py").write_text(f"FOLDER = {str(tmp_path)!r}\n" + HELD_WORKER)
    for name in ("slow", "held", "search_held"):
        Path(name).touch()
    yield slow
    for name in ("held", "search_held"):  # nobody waits for ever after a test that failed
        Path(name).unlink(missing_ok=True)


@pytest.fixture
def unhurried(slow: Path) -> pd.DataFrame:
    """The trials of that search when nothing comes between."""
    return table(hebbevo.search(slow, study="straight.db"))


@pytest.fixture(params=["local", "ray"])
def begun(request: pytest.FixtureRequest, slow: Path, unhurried: pd.DataFrame, tmp_path: Path) -> Command:
    """The search with two workers that are at work."""
    Path("slow").touch()
    command = Command(
        tmp_path, "search", "--space", slow, "--study", "s.db", "--executor", request.param, "--workers", 2
    )
    command.workers()
    return command


def resumed() -> pd.DataFrame:
    Path("slow").unlink()
    return table(hebbevo.resume("s.db", allow_code=lambda _: True))


def test_after_one_ctrl_c_what_is_under_way_is_recorded_and_the_workers_are_gone(
    begun: Command, unhurried: pd.DataFrame
) -> None:
    pids = begun.workers()
    begun.press_ctrl_c()
    told = begun.end()
    assert begun.process.returncode == 130
    assert "finishing the trainings under way; Ctrl-C again stops at once" in told
    assert "continue with 'hebbevo resume s.db'" in told.splitlines()[-1]
    assert all_gone(pids)
    done = (table(hebbevo.open_study("s.db")).state == "complete").sum()
    assert done % 2 == 0 and 2 <= done < 16
    pd.testing.assert_frame_equal(resumed(), unhurried, check_exact=True)


def test_after_two_it_stops_at_once_records_what_is_done_and_the_workers_are_gone(
    begun: Command, unhurried: pd.DataFrame
) -> None:
    done_before = begun.done(at_least=4)
    pids = begun.workers()
    begun.press_ctrl_c()
    begun.press_ctrl_c()
    told = begun.end()
    assert begun.process.returncode == 130
    assert "Traceback" not in told
    assert all_gone(pids)
    states = table(hebbevo.open_study("s.db")).state
    assert set(states) <= {"complete", "running"}
    done = (states == "complete").sum()
    assert done >= done_before
    assert f"stopped: {done} of 16 trials are recorded" in told
    pd.testing.assert_frame_equal(resumed(), unhurried, check_exact=True)


def test_after_a_kill_the_workers_are_gone_and_only_what_is_missing_is_trained(
    begun: Command, unhurried: pd.DataFrame
) -> None:
    begun.done(at_least=4)
    pids = begun.workers()
    os.kill(begun.process.pid, signal.SIGKILL)
    begun.end()
    assert all_gone(pids)
    done = (table(hebbevo.open_study("s.db")).state == "complete").sum()
    assert 4 <= done < 16
    seen: list[hebbevo.Progress] = []
    Path("slow").unlink()
    study = hebbevo.resume("s.db", allow_code=lambda _: True, watch=seen.append)
    assert seen[0].trials == done and seen[-1].fresh == 16 - done
    pd.testing.assert_frame_equal(table(study), unhurried, check_exact=True)


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_ctrl_c_while_the_workers_start_ends_well(held: Path, tmp_path: Path, executor: str) -> None:
    command = Command(
        tmp_path, "search", "--space", held, "--study", "s.db", "--executor", executor, "--workers", 2
    )
    command.go_on()
    command.asked()
    command.press_ctrl_c()
    told = command.end()
    assert command.process.returncode == 130
    assert "Traceback" not in told
    assert "continue with 'hebbevo resume s.db'" in told.splitlines()[-1]
    assert all_gone(command.started())


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGKILL])
def test_a_worker_that_started_before_the_study_is_gone_with_the_search(
    held: Path, tmp_path: Path, signal_: int
) -> None:
    command = Command(tmp_path, "search", "--space", held, "--study", "s.db", "--workers", 2)
    pids = command.workers(2)
    assert len(pids) == 1
    os.killpg(command.process.pid, signal_)
    if signal_ == signal.SIGKILL:
        Path("held").unlink()  # the worker sees that it is alone once it has begun
    told = command.end()
    if signal_ == signal.SIGINT:
        assert (command.process.returncode, told.strip()) == (130, "stopped")
    assert all_gone(pids)
    assert not Path("s.db").exists()


# --- what is lost ---


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_every_lost_attempt_is_recorded_with_its_reason_and_the_search_goes_on(
    slow: Path, executor: str
) -> None:
    code = next(Path().glob("slow_*.py"))
    trap = f"    if learning_rate_of_mine > 0.8 and os.getpid() != {os.getpid()}:\n        os._exit(5)\n"
    code.write_text(code.read_text().replace("    return nn.Seq", f"{trap}    return nn.Seq"))
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(
        slow, study="s.db", trials=8, executor=executor, workers=2, watch=seen.append, trial_timeout=60
    )
    trials = study.trials()
    culprits = trials["genome.learning_rate_of_mine"] > 0.8
    assert 0 < culprits.sum() < 8
    assert (trials.state == culprits.map({True: "failed", False: "complete"})).all()
    assert trials.failure[culprits].str.contains("its worker").all()
    assert (trials.attempts[culprits] >= 4).all()
    assert trials.failure[~culprits].isna().all()
    notices = [progress.notice for progress in seen if progress.notice]
    assert any(notice.endswith("; trained again") for notice in notices)
    with Ledger.open(study.path) as book:
        [generation] = book.generations()
    for record, culprit in zip(generation.records, culprits, strict=True):
        attempts = record.attempts
        assert [str(each.then) for each in attempts[:3]] == (
            ["again", "again", "in halves"] if attempts else []
        )
        if culprit:
            assert (attempts[-1].fault, attempts[-1].then) == (FailureKind.CRASH, Recovery.FAILED)
            assert attempts[-1].trials == (record.number,)
            assert attempts[-1].worker.startswith("process ")
    assert trials.repeatable.equals(trials.attempts == 1)
    assert re.match(r"trial \d( and \d later ones)? lacked time, memory or a worker: ", repeat_line(study))


def test_a_study_whose_losses_changed_nothing_says_nothing(slow: Path) -> None:
    code = next(Path().glob("slow_*.py"))
    trap = (
        f'    if os.getpid() != {os.getpid()} and not os.path.exists("was"):\n'
        '        pathlib.Path("was").touch()\n        os._exit(5)\n'
    )
    straight = table(hebbevo.search(slow, study="straight.db"))
    code.write_text(code.read_text().replace("    return nn.Seq", f"{trap}    return nn.Seq"))
    study = hebbevo.search(slow, study="s.db", executor="local", workers=2)
    assert study.trials().attempts.max() == 2
    assert study.trials().repeatable.all()
    assert repeat_line(study) is None
    pd.testing.assert_frame_equal(
        table(study).drop(columns="attempts"), straight.drop(columns="attempts"), check_exact=True
    )


# --- options ---


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"executor": "slurm"}, "--executor: 'slurm' is unknown; write one of auto, local, ray"),
        ({"workers": 0}, "--workers: 0 is too small; write a whole number of 1 or more"),
        ({"gpus_per_worker": 0}, "--gpus-per-worker: 0 will not do; write a part of 1, or a whole number"),
        (
            {"gpus_per_worker": 1.5},
            "--gpus-per-worker: 1.5 will not do; write a part of 1, or a whole number",
        ),
        ({"gpus_per_worker": float("nan")}, "--gpus-per-worker: nan will not do; "),
        ({"gpus_per_worker": float("inf")}, "--gpus-per-worker: inf will not do; "),
        ({"nice": 20}, "--nice: 20 is out of range; write a whole number from 0 to 19"),
        ({"nice": -1}, "--nice: -1 is out of range; write a whole number from 0 to 19"),
        (
            {"trial_timeout": "soon"},
            "--trial-timeout: 'soon' is not a length of time; write seconds, or as in",
        ),
        ({"trial_timeout": 0}, "--trial-timeout: 0 is not a length of time; "),
        (
            {"memory_per_worker": "much"},
            "--memory-per-worker: 'much' is not a size; write bytes",
        ),
        ({"memory_per_worker": 0}, "--memory-per-worker: 0 is not a size; "),
        (
            {"executor": "local", "ray_address": "auto"},
            "--ray-address: is for Ray; drop it",
        ),
        ({"executor": "local", "gpus_per_worker": 1}, "--gpus-per-worker: is for Ray; drop it, or write"),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_is_made(
    options: dict, told: str, space: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        hebbevo.search(space, study=tmp_path / "s.db", **options)
    assert str(caught.value).startswith(told)
    assert not (tmp_path / "s.db").exists()


@pytest.mark.parametrize(
    ("pool", "device", "gpus", "on_ray"),
    [
        (ExecutorConfig(), "cpu", 0, False),
        (ExecutorConfig(), "cuda", 1, False),
        (ExecutorConfig(), "cuda", 2, True),
        (ExecutorConfig(), "cpu", 2, False),
        (ExecutorConfig(executor="local"), "cuda", 2, False),
        (ExecutorConfig(executor="ray"), "cpu", 0, True),
        (ExecutorConfig(ray_address="auto"), "cpu", 0, True),
        (ExecutorConfig(gpus_per_worker=0.5), "cuda", 1, True),
    ],
)
def test_auto_is_this_machine_for_one_device_and_ray_for_several(
    pool: ExecutorConfig, device: str, gpus: int, on_ray: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert pool.on_ray(device) == on_ray


def test_a_study_begun_on_cpus_takes_no_gpus(space: Path, tmp_path: Path) -> None:
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=8)
    with pytest.raises(UsageError, match="--gpus-per-worker: the study was begun on CPUs; drop it"):
        hebbevo.resume(study.path, trials=16, gpus_per_worker=1)


def test_a_trial_timeout_needs_a_worker_that_can_be_stopped(slow: Path) -> None:
    code = next(Path().glob("slow_*.py"))
    trap = f"    if learning_rate_of_mine > 0.8 and os.getpid() != {os.getpid()}:\n        time.sleep(1000)\n"
    code.write_text(code.read_text().replace("    return nn.Seq", f"{trap}    return nn.Seq"))
    study = hebbevo.search(slow, study="s.db", trials=8, workers=1, trial_timeout=1.0)
    trials = study.trials()
    culprits = trials["genome.learning_rate_of_mine"] > 0.8
    assert (trials.state == culprits.map({True: "failed", False: "complete"})).all()
    assert trials.failure[culprits].str.startswith("took longer than 1 s").all()
    assert not trials.repeatable[culprits].any()


# --- a worker before its job is known ---


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that was started before its job was known."""
    started: list[subprocess.Popen[bytes]] = []
    start_one = prestart.start_one

    def noted() -> None:
        start_one()
        started.extend(process for process in prestart._waiting if process not in started)

    monkeypatch.setattr(prestart, "start_one", noted)
    return started


def ended(early: list[subprocess.Popen[bytes]]) -> bool:
    return not prestart._waiting and all(process.returncode is not None for process in early)


def test_of_several_workers_one_starts_before_its_job_is_known(
    space: Path, tmp_path: Path, early: list[subprocess.Popen[bytes]]
) -> None:
    space.write_text(space.read_text().replace("population: 8", "population: 8, cohort_width: 4"))
    hebbevo.search(space, study=tmp_path / "s.db", trials=8, workers=2)
    assert len(early) == 1
    early[0].wait(timeout=60)
    assert not prestart._waiting


def test_it_is_gone_before_a_search_that_needs_no_worker_trains(
    space: Path, tmp_path: Path, early: list[subprocess.Popen[bytes]]
) -> None:
    gone: list[bool] = []
    hebbevo.search(
        space, study=tmp_path / "s.db", trials=8, workers=2, watch=lambda _: gone.append(ended(early))
    )
    assert len(early) == 1
    assert gone and all(gone)


@pytest.mark.parametrize("options", [{"sampler": "nope"}, {"dataset": "nope.npz"}])
def test_it_is_gone_after_an_error(
    options: dict, space: Path, tmp_path: Path, early: list[subprocess.Popen[bytes]]
) -> None:
    with pytest.raises(UsageError):
        hebbevo.search(space, study=tmp_path / "s.db", workers=2, **options)
    assert ended(early)


def test_it_is_gone_when_the_study_is_finished(
    space: Path, tmp_path: Path, early: list[subprocess.Popen[bytes]]
) -> None:
    hebbevo.search(space, study=tmp_path / "s.db", trials=8)
    hebbevo.search(space, study=tmp_path / "s.db", trials=8, workers=2)
    assert ended(early)


def test_none_starts_for_a_resume_with_nothing_to_do(
    space: Path, tmp_path: Path, early: list[subprocess.Popen[bytes]]
) -> None:
    hebbevo.search(space, study=tmp_path / "s.db", trials=8)
    hebbevo.resume(tmp_path / "s.db", trials=8, workers=2)
    with pytest.raises(UsageError):
        hebbevo.resume(tmp_path / "none.db", workers=2)
    assert not early


@pytest.mark.parametrize(
    ("pool", "starts"),
    [
        (ExecutorConfig(workers=2), True),
        (ExecutorConfig(workers=1, trial_timeout=60), True),
        (ExecutorConfig(workers=1), False),
        (ExecutorConfig(), False),  # on one core
        (ExecutorConfig(workers=2, executor="ray"), False),
        (ExecutorConfig(workers=2, ray_address="auto"), False),
        (ExecutorConfig(workers=2, gpus_per_worker=0.5), False),
    ],
)
def test_one_starts_where_processes_of_this_machine_are_likely(
    pool: ExecutorConfig, starts: bool, early: list[subprocess.Popen[bytes]]
) -> None:
    with prestart.none_left():
        pool.warm_up()
    assert (len(early) == 1) == starts
    assert ended(early)


@pytest.mark.parametrize(("driver", "starts"), [("nvidiactl", False), ("nothing", True)])
def test_none_starts_on_a_gpu_which_the_search_itself_uses(
    driver: str, starts: bool, tmp_path: Path, early: list[subprocess.Popen[bytes]], monkeypatch
) -> None:
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr("hebbevo.execution.config._DRIVER", tmp_path / driver)
    monkeypatch.setattr("hebbevo.execution.config._cores", lambda: 2)
    with prestart.none_left():
        ExecutorConfig().warm_up()
    assert (len(early) == 1) == starts
