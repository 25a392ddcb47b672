"""Who trains, and with what: nothing that a study depends on."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from pydantic import ByteSize, TypeAdapter, ValidationError

from hebbevo.data import Split
from hebbevo.errors import UsageError
from hebbevo.execution import prestart
from hebbevo.space.knobs import listed
from hebbevo.spec import duration

if TYPE_CHECKING:
    from hebbevo.execution import Executor, WorkerSetup
    from hebbevo.training import Recipe

EXECUTORS = ("auto", "local", "ray")
_DRIVER = Path("/dev/nvidiactl")


class ExecutorOptions(TypedDict, total=False):
    """What `hebbevo.search` and `hebbevo.resume` make a `ExecutorConfig` of; ``None`` stands for the default."""

    executor: str | None
    workers: int | None
    ray_address: str | None
    gpus_per_worker: float | None
    trial_timeout: float | str | None
    nice: int | None
    memory_per_worker: int | str | None


@dataclass(frozen=True)
class ExecutorConfig:
    """The workers of one run.

    Args:
        executor: ``local`` (processes of this machine), ``ray``, or ``auto``: Ray where an address or GPUs a
            worker are given, or this machine has several GPUs.
        workers: cohorts that train at a time, by default as many as the cores, or the GPUs, allow.
        ray_address: of a Ray cluster, ``auto`` or ``host:port``; by default ``$RAY_ADDRESS``, else Ray on
            this machine alone.
        gpus_per_worker: two workers share a GPU with 0.5; by default 1 where the study trains on GPUs.
        trial_timeout: seconds, or as ``10m``, that a trial may take; a cohort, as many times its trials.
        nice: how much workers give way to other programs, 0 to 19.
        memory_per_worker: bytes, or as ``4GB``, that a worker may hold on the CPU.

    Raises:
        UsageError: a value is out of range, or two do not go together.
    """

    executor: str | None = None
    workers: int | None = None
    ray_address: str | None = None
    gpus_per_worker: float | None = None
    trial_timeout: float | str | None = None
    nice: int | None = None
    memory_per_worker: int | str | None = None
    limit: float = field(init=False)
    """Seconds that a trial may take."""
    memory: int | None = field(init=False)
    """Bytes that a worker may hold, or ``None``."""

    def __post_init__(self) -> None:
        if self.executor not in (None, *EXECUTORS):
            raise UsageError(
                f"--executor: {self.executor!r} is unknown; write one of {listed(list(EXECUTORS))}"
            )
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers: {self.workers} is too small; write a whole number of 1 or more")
        gpus = self.gpus_per_worker
        if gpus is not None and not (0 < gpus < 1 or (gpus >= 1 and float(gpus).is_integer())):
            raise UsageError(f"--gpus-per-worker: {gpus:g} will not do; write a part of 1, or a whole number")
        if self.nice is not None and not 0 <= self.nice <= 19:
            raise UsageError(f"--nice: {self.nice} is out of range; write a whole number from 0 to 19")
        if self.executor == "local":
            for option, value in (("--ray-address", self.ray_address), ("--gpus-per-worker", gpus)):
                if value is not None:
                    raise UsageError(f"{option}: is for Ray; drop it, or write --executor ray")
        object.__setattr__(self, "limit", _seconds(self.trial_timeout))
        object.__setattr__(self, "memory", _bytes(self.memory_per_worker))

    def warm_up(self) -> None:
        """Start a worker process if one will be of use: it imports PyTorch while the search gets ready."""
        # a GPU's one worker is the search itself; PyTorch, which knows better, is not imported yet
        workers = self.workers or (1 if _DRIVER.exists() else _cores())
        if not self._wants_ray and (workers > 1 or self._outside):
            prestart.start_one()

    @property
    def _outside(self) -> bool:
        """Whether even a single worker has to be a process of its own."""
        return bool(self.trial_timeout or self.nice or self.memory_per_worker)

    @property
    def _wants_ray(self) -> bool:
        return self.executor == "ray" or self.ray_address is not None or self.gpus_per_worker is not None

    def on_ray(self, device: str) -> bool:
        """Whether Ray runs the trainings of a study on such devices."""
        if self._wants_ray or self.executor == "local":
            return self._wants_ray
        import torch

        return device == "cuda" and torch.cuda.device_count() > 1

    @property
    def device(self) -> str:
        """The kind of device that a new study trains on: ``cpu`` or ``cuda``."""
        import torch

        return "cuda" if torch.cuda.is_available() or self.gpus_per_worker is not None else "cpu"

    @prestart.none_left()
    def start(
        self,
        recipe: Recipe,
        split: Split,
        *,
        device: str,
        threads: int,
        cohorts: int,
        tell: Callable[[str], None],
    ) -> Executor:
        """Start the workers of a study, of which at most ``cohorts`` ever have something to do at a time.

        Raises:
            UsageError: this machine has not what the study or the pool asks for.
        """
        import torch

        from hebbevo.execution import ProcessExecutor, SerialExecutor, WorkerSetup

        if device == "cpu" and self.gpus_per_worker is not None:
            raise UsageError(
                "--gpus-per-worker: the study was begun on CPUs; drop it, or write another --study"
            )
        if device == "cuda" and not self.on_ray(device) and not torch.cuda.is_available():
            raise UsageError("the study was begun on a GPU and none is here; resume it on a machine with one")
        gpus = 0.0 if device == "cpu" else self.gpus_per_worker or 1.0
        job = WorkerSetup(recipe, split, device, threads, self.nice or 0, self.memory, min(gpus, 1.0) or 1.0)
        if self.on_ray(device):
            from hebbevo.execution.ray import RayExecutor

            address = self.ray_address or os.environ.get("RAY_ADDRESS")
            return RayExecutor(
                job,
                workers=self.workers,
                most=cohorts,
                gpus=gpus,
                address=address,
                cores=_cores(),
                tell=tell,
            )
        workers = min(self._local_workers(job), cohorts)
        if workers == 1 and not self._outside:
            return SerialExecutor(job)
        return ProcessExecutor(job, workers=workers, tell=tell)

    def _local_workers(self, job: WorkerSetup) -> int:
        if self.workers is not None:
            return self.workers
        return 1 if job.device == "cuda" else max(1, _cores() // job.threads)


def _seconds(timeout: float | str | None) -> float:
    if timeout is None:
        return math.inf
    try:
        return duration.seconds(timeout)
    except ValueError as error:
        raise UsageError(f"--trial-timeout: {error}; write seconds, or as in 90s, 10m") from None


def _bytes(size: int | str | None) -> int | None:
    if size is None:
        return None
    try:
        count = int(TypeAdapter(ByteSize).validate_python(size))
    except ValidationError:
        count = 0
    if not 0 < count < 2**62:
        raise UsageError(f"--memory-per-worker: {size!r} is not a size; write bytes, or as in 500MB, 4GB")
    return count


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
