"""Where a run trains and on how many workers. The results of a study do not depend on it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from pydantic import ByteSize, TypeAdapter, ValidationError

from hebbevo.errors import UsageError
from hebbevo.execution import prestart
from hebbevo.messages import listed
from hebbevo.spec import duration
from hebbevo.training.recipe import NATIVE

if TYPE_CHECKING:
    from hebbevo.data import Split
    from hebbevo.execution import Executor
    from hebbevo.training import Recipe

EXECUTORS = ("auto", "local", "ray")

MOST_THREADS = 2
"""Workers of the native engine that are threads. More are processes: a third of a training is Python, which
one thread at a time may run."""

NVIDIA_DRIVER = Path("/dev/nvidiactl")
"""Exists where the driver of NVIDIA's GPUs is loaded, which this shows without an import of PyTorch."""


def available_cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ExecutorOptions(TypedDict, total=False):
    """The arguments of `ExecutorConfig`, for functions that pass them on; ``None`` means the default."""

    executor: str | None
    workers: int | None
    ray_address: str | None
    gpus_per_worker: float | None
    trial_timeout: float | str | None
    nice: int | None
    memory_per_worker: int | str | None


@dataclass(frozen=True)
class ExecutorConfig:
    """The executor and the workers of one run.

    Args:
        executor: ``local`` for processes on this machine (two workers of the native engine are threads),
            ``ray``, or ``auto``. ``auto`` means Ray if
            ``ray_address`` or ``gpus_per_worker`` is given, or if the study trains on GPUs and this machine
            has several; else it means ``local``.
        workers: cohorts to train at the same time, by default as many as the cores, or the GPUs, allow.
        ray_address: address of a Ray cluster, ``auto`` or ``host:port``; by default ``$RAY_ADDRESS``. Without
            either, Ray is started on this machine.
        gpus_per_worker: GPUs per Ray worker, by default 1 if the study trains on GPUs. With 0.5, two workers
            share one.
        trial_timeout: longest time for one trial, in seconds or as ``10m``; a cohort of n trials may take n
            times as long.
        nice: how much workers yield to other programs, 0 (not at all) to 19.
        memory_per_worker: most memory for a worker's data on the CPU, in bytes or as ``4GB``.

    Raises:
        UsageError: a value is out of range, or two values contradict each other.

    >>> ExecutorConfig(workers=2, trial_timeout="1m30s").trial_seconds
    90.0
    """

    executor: str | None = None
    workers: int | None = None
    ray_address: str | None = None
    gpus_per_worker: float | None = None
    trial_timeout: float | str | None = None
    nice: int | None = None
    memory_per_worker: int | str | None = None
    trial_seconds: float = field(init=False)
    """``trial_timeout`` in seconds; infinite without one."""
    memory_bytes: int | None = field(init=False)
    """``memory_per_worker`` in bytes, or ``None``."""

    def __post_init__(self) -> None:
        if self.executor not in (None, *EXECUTORS):
            raise UsageError(
                f"--executor: {self.executor!r} is unknown; write one of {listed(list(EXECUTORS))}"
            )
        for option, whole in (("--workers", self.workers), ("--nice", self.nice)):
            if whole is not None and (isinstance(whole, bool) or not isinstance(whole, Integral)):
                raise UsageError(f"{option}: {whole!r} is not a whole number; write one")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers: {self.workers} is too small; write a whole number of 1 or more")
        gpus = self.gpus_per_worker
        if gpus is not None and (isinstance(gpus, bool) or not isinstance(gpus, Real)):
            raise UsageError(f"--gpus-per-worker: {gpus!r} is not a number; write one, as in 1 or 0.5")
        if not isinstance(self.ray_address, str | None):
            raise UsageError(f"--ray-address: {self.ray_address!r} is not text; write auto, or HOST:PORT")
        if gpus is not None and not (0 < gpus < 1 or (gpus >= 1 and float(gpus).is_integer())):
            raise UsageError(
                f"--gpus-per-worker: {gpus:g} is not possible; write a fraction below 1, or a whole number"
            )
        if self.nice is not None and not 0 <= self.nice <= 19:
            raise UsageError(f"--nice: {self.nice} is out of range; write a whole number from 0 to 19")
        if self.executor == "local":
            for option, value in (("--ray-address", self.ray_address), ("--gpus-per-worker", gpus)):
                if value is not None:
                    raise UsageError(f"{option}: is for Ray; drop it, or write --executor ray")
        object.__setattr__(self, "trial_seconds", _seconds(self.trial_timeout))
        object.__setattr__(self, "memory_bytes", _bytes(self.memory_per_worker))

    def prestart_worker(self, trains_in_threads: bool) -> None:
        """Start a worker process if one is likely to be needed: it imports PyTorch while the search prepares.

        On a GPU the only local worker is the search's own process. Whether there is one is guessed here from
        the driver, as PyTorch is not imported yet.

        Args:
            trains_in_threads: whether the native engine trains, of which the first workers are threads.
        """
        workers = self.workers or (1 if NVIDIA_DRIVER.exists() else available_cores())
        here = MOST_THREADS if trains_in_threads else 1
        if not self._requests_ray and (self._needs_process or workers > here):
            prestart.ensure_one()

    @property
    def _needs_process(self) -> bool:
        """Whether even a single worker must be a process of its own, which can be killed and limited."""
        return bool(self.trial_timeout or self.nice or self.memory_per_worker)

    @property
    def _requests_ray(self) -> bool:
        return self.executor == "ray" or self.ray_address is not None or self.gpus_per_worker is not None

    def uses_ray(self, device: str) -> bool:
        """Whether a study that trains on this ``device``, ``cpu`` or ``cuda``, trains on Ray."""
        if self._requests_ray or self.executor == "local":
            return self._requests_ray
        import torch

        return device == "cuda" and torch.cuda.device_count() > 1

    @property
    def device(self) -> str:
        """The device for a new study: ``cpu`` or ``cuda``."""
        import torch

        return "cuda" if torch.cuda.is_available() or self.gpus_per_worker is not None else "cpu"

    def workers_at_hand(self, device: str, threads: int) -> int:
        """How many cohorts can be trained at the same time with what this machine has, or as many as given.

        Args:
            device: ``cpu`` or ``cuda``.
            threads: PyTorch threads for a cohort.
        """
        if self.workers is not None:
            return self.workers
        if device == "cpu":
            return max(1, available_cores() // threads)
        import torch

        return max(1, int(torch.cuda.device_count() / (self.gpus_per_worker or 1)))

    def spare_cores(self, threads: int, cohorts: int) -> int:
        """How many CPU cores of this machine stay without work, where a generation has this many cohorts."""
        return 0 if self._requests_ray or self.workers else available_cores() - threads * cohorts

    @prestart.discard_unused()
    def start(
        self,
        recipe: Recipe,
        split: Split,
        *,
        device: str,
        threads: int,
        max_workers: int,
        notify: Callable[[str], None],
        modules: Mapping[str, str],
    ) -> Executor:
        """Start the executor for a study.

        Args:
            recipe: what all trainings share.
            split: training, validation and test data.
            device: ``cpu`` or ``cuda``, as recorded in the study.
            threads: PyTorch threads for a cohort, as recorded in the study.
            max_workers: number of cohorts in a generation; more workers would be idle.
            notify: shows a line to the user.
            modules: digests of the user's modules, by name, as this process has loaded them.

        Raises:
            UsageError: this machine or cluster lacks what the study or this configuration asks for.
        """
        import torch

        from hebbevo.execution import ProcessExecutor, SerialExecutor, ThreadExecutor, WorkerSetup

        if device == "cpu" and self.gpus_per_worker is not None:
            raise UsageError(
                "--gpus-per-worker: the study was begun on CPUs; drop it, or write another --study"
            )
        if device == "cuda" and not self.uses_ray(device) and not torch.cuda.is_available():
            raise UsageError("the study was begun on a GPU and none is here; resume it on a machine with one")
        gpus = 0.0 if device == "cpu" else self.gpus_per_worker or 1.0
        gpu_share = min(gpus, 1.0) or 1.0
        setup = WorkerSetup(
            recipe, split, device, threads, self.nice or 0, self.memory_bytes, gpu_share, modules
        )
        if self.uses_ray(device):
            from hebbevo.execution.ray import RayExecutor

            address = self.ray_address or os.environ.get("RAY_ADDRESS")
            return RayExecutor(
                setup,
                workers=self.workers,
                max_workers=max_workers,
                gpus=gpus,
                address=address,
                cores=available_cores(),
                notify=notify,
            )
        at_hand = self.workers_at_hand(device, threads) if device == "cpu" else self.workers or 1
        workers = min(at_hand, max_workers)
        if workers == 1 and not self._needs_process:
            return SerialExecutor(setup)
        leaves_interpreter = recipe.engine == NATIVE and not recipe.code
        if leaves_interpreter and workers <= MOST_THREADS and not self._needs_process:
            return ThreadExecutor(setup, workers=workers)
        return ProcessExecutor(setup, workers=workers, notify=notify)


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
