"""Training in actors of a Ray cluster, on this machine or on many."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

# read when Ray is imported or started
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of what it will do one day
os.environ.setdefault("RAY_worker_niceness", "0")  # at the start, where Ray would have 15
# on the standard output, of what is told of here
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed|has been marked dead")

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from hebbevo.errors import UsageError, WorkerError
from hebbevo.execution.executor import Cohort, LostCohort
from hebbevo.execution.worker_pool import WorkerPool
from hebbevo.execution.worker_setup import WorkerSetup
from hebbevo.study.attempts import FailureKind
from hebbevo.training import Measurement, told

_KNOCK = 10.0  # seconds to wait for an answer from a cluster's address


class RayExecutor(WorkerPool):
    """Trains in ``workers`` actors; one that dies, or whose node is lost, is replaced where there is room.

    Every node holds the data once, in Ray's object store, and its workers read them there.

    Args:
        job: what the cohorts have in common.
        workers: actors, or as many as the cluster has room for now; results do not depend on it.
        most: actors that ever have something to do at a time.
        gpus: GPUs a worker, of which two may share one with 0.5; Ray shows each worker its own only.
        address: of a cluster, as ``auto`` or ``host:port``; ``None``: this machine alone.
        cores: of this machine, where it is alone.
        tell: says something to the user.

    Raises:
        UsageError: there is no cluster at the address, or no room on this machine for a single worker.
    """

    def __init__(
        self,
        job: WorkerSetup,
        *,
        workers: int | None = None,
        most: int = sys.maxsize,
        gpus: float = 0.0,
        address: str | None = None,
        cores: int = 1,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._connected = _connect(address, max(cores, job.threads * min(workers or 1, most)))
        try:
            wants = _Resources(job.threads, gpus, job.memory or 0)
            super().__init__(min(workers or wants.room(address), most), tell)
            self._job = ray.put(job)
            self._actor = ray.remote(_Trainer).options(
                num_cpus=job.threads, num_gpus=gpus, memory=job.memory, max_restarts=0, max_task_retries=0
            )
            self._hire_missing()
        except BaseException:
            self._disconnect()
            raise

    def close(self) -> None:
        """See `Executor.close`."""
        super().close()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connected:
            ray.shutdown()

    def _hire(self) -> _Actor:
        return _Actor(self._actor.remote(self._job, [path or os.getcwd() for path in sys.path]))

    def _why_nobody(self) -> str:
        free = _Resources.of(ray.available_resources())
        return f"waiting for Ray to give room to a worker; free in the cluster: {free or 'nothing'}"


class _Actor:
    """An actor, seen from here."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.name = "a worker of Ray"

    @property
    def alive(self) -> bool:
        return True  # Ray says otherwise only when asked for something

    def begin(self) -> Future[str]:
        started: Future[tuple[str, str]] = self._handle.begin.remote().future()
        begun: Future[str] = Future()

        def take(done: Future[tuple[str, str]]) -> None:
            if error := done.exception():
                begun.set_exception(error)
            else:
                self.name, problem = done.result()
                begun.set_result(problem)

        started.add_done_callback(take)
        return begun

    def train(self, batch: Cohort) -> Future[list[Measurement] | LostCohort]:
        training: Future[list[Measurement] | LostCohort] = self._handle.train.remote(batch).future()
        return training

    def lost(self, error: BaseException) -> LostCohort:
        # Ray's memory monitor kills the worker that takes most when a node runs low
        short = isinstance(error, OutOfMemoryError) or "running low on memory" in str(error)
        fault = FailureKind.MEMORY if short else FailureKind.CRASH
        return LostCohort(fault, f"its worker was lost: {_first_cause(error)}", self.name)

    def kill(self) -> None:
        ray.kill(self._handle)


class _Trainer:
    """What an actor runs."""

    def __init__(self, job: WorkerSetup, path: list[str]) -> None:
        sys.path.extend(folder for folder in path if folder not in sys.path)  # for the user's own code
        # the arrays lie in the object store, where nobody may write, and nobody does
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        self._job = job
        context = ray.get_runtime_context()
        gpus = ",".join(map(str, ray.get_gpu_ids()))
        node = context.get_node_id()[:8]
        self._name = f"process {os.getpid()} on node {node}{gpus and f', GPU {gpus}'}"

    def begin(self) -> tuple[str, str]:
        """Give the name of the worker, and what is in the way, or nothing."""
        try:
            self._job.begin()
        except Exception as error:
            return self._name, str(error) if isinstance(error, WorkerError) else told(error)
        return self._name, ""

    def train(self, batch: Cohort) -> list[Measurement] | LostCohort:
        return self._job.train(batch, self._name)


@dataclass(frozen=True)
class _Resources:
    """What a worker wants, or a cluster has, of what they are dealt out by."""

    cpus: float
    gpus: float
    memory: float

    @classmethod
    def of(cls, counts: Mapping[str, float]) -> _Resources:
        """Take them from what Ray tells."""
        return cls(*(counts.get(name, 0.0) for name in ("CPU", "GPU", "memory")))

    def __str__(self) -> str:
        counts = ((self.cpus, "CPU"), (self.gpus, "GPU"), (self.memory / 1e9, "GB"))
        return ", ".join(f"{count:.4g} {what}" for count, what in counts if count)

    def room(self, address: str | None) -> int:
        """How many workers that want this the cluster has room for, free or not; 1 at least.

        Raises:
            UsageError: there is none, and this machine is all there is.
        """
        has = self.of(ray.cluster_resources())
        pairs = ((has.cpus, self.cpus), (has.gpus, self.gpus), (has.memory, self.memory))
        room = min(int(there / wanted + 1e-9) for there, wanted in pairs if wanted)
        if room < 1 and address is None:
            raise UsageError(
                f"--executor ray: a worker wants {self}, and this machine has {has}; ask for less"
            )
        return max(room, 1)


def _first_cause(error: BaseException) -> str:
    """What Ray says of it, without its guesses and advice."""
    if isinstance(error, RayTaskError):
        return told(error.cause)
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if " because " in line), told(error)).partition(". ")[0]


def _connect(address: str | None, cpus: int) -> bool:
    """Connect to a cluster, or start one of this machine; tell whether it was done, or had been before."""
    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    if address is None:
        ray.init(address="local", num_cpus=cpus, **quiet)
        return True
    del quiet["include_dashboard"]  # the cluster has one, or has not
    try:
        _knock(address)
        ray.init(address=address, **quiet)
    except (OSError, ValueError, RuntimeError, RayError) as error:
        what = f"{address} cannot be reached ({told(error)})"
        raise UsageError(f"--ray-address: {what}; start Ray there, or write auto or HOST:PORT") from error
    return True


def _knock(address: str) -> None:
    """See at once whether anybody is there; Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in address and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_KNOCK).close()
