"""The worker process that starts before the search knows its setup."""

import subprocess
from pathlib import Path

import pytest

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.execution import prestart
from hebbevo.execution.config import ExecutorConfig


@pytest.fixture
def prestarted(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that was prestarted."""
    started: list[subprocess.Popen[bytes]] = []
    ensure_one = prestart.ensure_one

    def note() -> None:
        ensure_one()
        started.extend(process for process in prestart.waiting if process not in started)

    monkeypatch.setattr(prestart, "ensure_one", note)
    return started


def have_ended(prestarted: list[subprocess.Popen[bytes]]) -> bool:
    return not prestart.waiting and all(process.returncode is not None for process in prestarted)


def test_of_several_workers_one_is_prestarted_and_used(
    space: Path, tmp_path: Path, prestarted: list[subprocess.Popen[bytes]]
) -> None:
    space.write_text(space.read_text().replace("population: 8", "population: 8, cohort_width: 4"))
    hebbevo.search(space, study=tmp_path / "s.db", trials=8, workers=2)
    assert len(prestarted) == 1
    prestarted[0].wait(timeout=60)
    assert not prestart.waiting


def test_it_ends_before_a_search_that_needs_no_worker_trains(
    space: Path, tmp_path: Path, prestarted: list[subprocess.Popen[bytes]]
) -> None:
    space.write_text(space.read_text().replace("population: 8", "population: 8, cohort_width: 16"))
    ended: list[bool] = []
    hebbevo.search(
        space,
        study=tmp_path / "s.db",
        trials=8,
        workers=2,
        watch=lambda _: ended.append(have_ended(prestarted)),
    )
    assert len(prestarted) == 1
    assert ended and all(ended)


@pytest.mark.parametrize("options", [{"sampler": "nope"}, {"dataset": "nope.npz"}])
def test_it_ends_after_an_error(
    options: dict, space: Path, tmp_path: Path, prestarted: list[subprocess.Popen[bytes]]
) -> None:
    with pytest.raises(UsageError):
        hebbevo.search(space, study=tmp_path / "s.db", workers=2, **options)
    assert have_ended(prestarted)


def test_it_ends_if_the_study_is_finished(
    space: Path, tmp_path: Path, prestarted: list[subprocess.Popen[bytes]]
) -> None:
    hebbevo.search(space, study=tmp_path / "s.db", trials=8)
    hebbevo.search(space, study=tmp_path / "s.db", trials=8, workers=2)
    assert have_ended(prestarted)


def test_none_is_prestarted_for_a_finished_study_that_is_resumed(
    space: Path, tmp_path: Path, prestarted: list[subprocess.Popen[bytes]]
) -> None:
    hebbevo.search(space, study=tmp_path / "s.db", trials=8)
    hebbevo.resume(tmp_path / "s.db", trials=8, workers=2)
    with pytest.raises(UsageError):
        hebbevo.resume(tmp_path / "none.db", workers=2)
    assert not prestarted


@pytest.mark.parametrize(
    ("config", "in_threads", "starts"),
    [
        (ExecutorConfig(workers=2), False, True),
        (ExecutorConfig(workers=1, trial_timeout=60), False, True),
        (ExecutorConfig(workers=1), False, False),
        (ExecutorConfig(), False, False),  # on one core
        (ExecutorConfig(workers=2, executor="ray"), False, False),
        (ExecutorConfig(workers=2, ray_address="auto"), False, False),
        (ExecutorConfig(workers=2, gpus_per_worker=0.5), False, False),
        (ExecutorConfig(workers=2), True, False),  # in threads
        (ExecutorConfig(workers=3), True, True),
        (ExecutorConfig(workers=2, trial_timeout=60), True, True),
    ],
)
def test_one_is_prestarted_where_worker_processes_are_likely(
    config: ExecutorConfig, in_threads: bool, starts: bool, prestarted: list[subprocess.Popen[bytes]]
) -> None:
    with prestart.discard_unused():
        config.prestart_worker(in_threads)
    assert (len(prestarted) == 1) == starts
    assert have_ended(prestarted)


@pytest.mark.parametrize(("driver", "starts"), [("nvidiactl", False), ("nothing", True)])
def test_none_is_prestarted_on_a_machine_with_a_gpu_which_the_search_itself_uses(
    driver: str, starts: bool, tmp_path: Path, prestarted: list[subprocess.Popen[bytes]], monkeypatch
) -> None:
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr("hebbevo.execution.config.NVIDIA_DRIVER", tmp_path / driver)
    monkeypatch.setattr("hebbevo.execution.config.available_cores", lambda: 2)
    with prestart.discard_unused():
        ExecutorConfig().prestart_worker(trains_in_threads=False)
    assert (len(prestarted) == 1) == starts
