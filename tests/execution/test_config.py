"""The options of an executor, and which executor they lead to."""

from pathlib import Path

import pytest
import torch

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.execution.config import ExecutorConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "slurm"}, "--executor: 'slurm' is unknown; write one of auto, local, ray"),
        ({"workers": 0}, "--workers: 0 is too small; write a whole number of 1 or more"),
        (
            {"gpus_per_worker": 0},
            "--gpus-per-worker: 0 is not possible; write a fraction below 1, or a whole number",
        ),
        (
            {"gpus_per_worker": 1.5},
            "--gpus-per-worker: 1.5 is not possible; write a fraction below 1, or a whole number",
        ),
        ({"gpus_per_worker": float("nan")}, "--gpus-per-worker: nan is not possible; "),
        ({"gpus_per_worker": float("inf")}, "--gpus-per-worker: inf is not possible; "),
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
def test_an_impossible_option_is_an_error_of_one_line_and_makes_no_study(
    options: dict, message: str, space: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        hebbevo.search(space, study=tmp_path / "s.db", **options)
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "s.db").exists()


@pytest.mark.parametrize(
    ("config", "device", "gpus", "uses_ray"),
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
def test_auto_means_this_machine_for_one_device_and_ray_for_several(
    config: ExecutorConfig, device: str, gpus: int, uses_ray: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert config.uses_ray(device) == uses_ray


def test_a_study_begun_on_cpus_takes_no_gpus(space: Path, tmp_path: Path) -> None:
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=8)
    with pytest.raises(UsageError, match="--gpus-per-worker: the study was begun on CPUs; drop it"):
        hebbevo.resume(study.path, trials=16, gpus_per_worker=1)
