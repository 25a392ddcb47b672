"""Training in actors of a Ray cluster, on this machine or on many."""

from __future__ import annotations

import math
import os
import socket
import sys
import warnings
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

# read when Ray is imported or started
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of what it will do one day
os.environ.setdefault("RAY_worker_niceness", "0")  # at the start, where Ray would have 15
# on the standard output, of what is told of here
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed|has been marked dead")

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from hebbevo.attempts import Fault
from hebbevo.errors import UsageError, WorkerError
from hebbevo.executors.batch import Batch, Lost, Outcome
from hebbevo.executors.job import Job
from hebbevo.training import Candidate, Measurement, told

_STARTS = 3  # in a row that fail before it is given up
_KNOCK = 10.0  # seconds to wait for an answer from a cluster's address
_PATIENCE = 20.0  # seconds without any worker, until the user is told


class RayExecutor:
    """Trains in ``workers`` actors; one that dies, or whose node is lost, is replaced where there is room.

    Every node holds the data once, in Ray's object store, and its workers read them there.

    Args:
        job: what the cohorts have in common.
        workers: actors, or as many as the cluster has room for now; results do not depend on it.
        most: actors that ever have something to do at a time.
        gpus: GPUs a worker, of which two may share one with 0.5; Ray shows each worker its own only.
        address: of a cluster, as ``auto`` or ``host:port``; ``None``: this machine alone.
        tell: says something to the user.

    Raises:
        UsageError: there is no cluster at the address, or no room in it for a single worker.
    """

    def __init__(
        self,
        job: Job,
        *,
        workers: int | None = None,
        most: int = sys.maxsize,
        gpus: float = 0.0,
        address: str | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._connected = _connect(address, job.threads * min(workers or 1, most))
        try:
            room = _room(job.threads, gpus, address)
            self._missing = max(1, min(workers or room, most))
            self._job = ray.put(job)
        except BaseException:
            self._disconnect()
            raise
        self._actor = ray.remote(_Trainer).options(
            num_cpus=job.threads, num_gpus=gpus, memory=job.memory, max_restarts=0, max_task_retries=0
        )
        self._tell = tell
        self._starting: dict[Any, Any] = {}
        self._idle: list[tuple[Any, str]] = []
        self._running: dict[Any, tuple[Batch, Any, str]] = {}
        self._failed_starts = 0
        self._nobody_since: float | None = monotonic()
        self._start_missing()

    @property
    def free(self) -> int:
        """See `Executor.free`."""
        return len(self._idle)

    def submit(self, batch: Batch) -> None:
        """See `Executor.submit`."""
        actor, name = self._idle.pop()
        self._running[actor.train.remote(batch.candidates)] = batch, actor, name

    def wait(self, seconds: float) -> tuple[Batch, Outcome] | None:
        """See `Executor.wait`."""
        self._start_missing()
        done, _ = ray.wait([*self._running, *self._starting], timeout=seconds)
        self._tell_if_nobody_is_there()
        for ref in done:
            if ref in self._starting:
                self._begun(self._starting.pop(ref), ref)
                continue
            batch, actor, name = self._running.pop(ref)
            outcome = _outcome(ref, name)
            if isinstance(outcome, Lost) and outcome.fault is Fault.CRASH:
                self._replace(actor)
            else:
                self._idle.append((actor, name))
            return batch, outcome
        return None

    def give_up(self, batch: Batch) -> str:
        """See `Executor.give_up`."""
        ref = next(ref for ref, (running, _, _) in self._running.items() if running is batch)
        _, actor, name = self._running.pop(ref)
        self._replace(actor)
        return name

    def close(self) -> None:
        """See `Executor.close`."""
        busy = (actor for _, actor, _ in self._running.values())
        for actor in (*self._starting.values(), *(actor for actor, _ in self._idle), *busy):
            ray.kill(actor)
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connected:
            ray.shutdown()

    def _start_missing(self) -> None:
        for _ in range(self._missing):
            actor: Any = self._actor.remote(self._job, [path or os.getcwd() for path in sys.path])
            self._starting[actor.begin.remote()] = actor
        self._missing = 0

    def _replace(self, actor: Any) -> None:
        ray.kill(actor)
        self._missing += 1

    def _begun(self, actor: Any, ref: Any) -> None:
        try:
            name, problem = ray.get(ref)
        except RayError as error:
            self._replace(actor)
            self._failed_starts += 1
            if self._failed_starts == _STARTS:
                raise WorkerError(f"no Ray worker can be started: {_first_cause(error)}") from error
            return
        if problem:
            self._replace(actor)
            raise WorkerError(f"no Ray worker can be started: {problem}")
        self._failed_starts = 0
        self._idle.append((actor, name))

    def _tell_if_nobody_is_there(self) -> None:
        if self._idle or self._running:
            self._nobody_since = None
        elif self._nobody_since is None:
            self._nobody_since = monotonic()
        elif monotonic() - self._nobody_since > _PATIENCE:
            self._nobody_since = math.inf  # once
            has = ", ".join(f"{free:g} {what}" for what, free in _resources(ray.available_resources()))
            self._tell(f"waiting for Ray to give room to a worker; free in the cluster: {has or 'nothing'}")


class _Trainer:
    """What an actor runs."""

    def __init__(self, job: Job, path: list[str]) -> None:
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
        except WorkerError as error:
            return self._name, str(error)
        return self._name, ""

    def train(self, candidates: Sequence[Candidate]) -> list[Measurement] | Lost:
        return self._job.train(candidates, self._name)


def _outcome(ref: Any, worker: str) -> Outcome:
    try:
        outcome: Outcome = ray.get(ref)
    except RayError as error:
        # Ray's memory monitor kills the worker that takes most when a node runs low
        short = isinstance(error, OutOfMemoryError) or "running low on memory" in str(error)
        return Lost(
            Fault.MEMORY if short else Fault.CRASH, f"its worker was lost: {_first_cause(error)}", worker
        )
    return outcome


def _first_cause(error: RayError) -> str:
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
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        ray.init(address="local", num_cpus=max(cpus, cores), **quiet)
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


def _room(cpus: int, gpus: float, address: str | None) -> int:
    """Workers that the cluster has room for, free or not."""
    has = ray.cluster_resources()
    room = min(has.get("CPU", 0) // cpus, has.get("GPU", 0) / gpus if gpus else math.inf)
    if room < 1 and address is None:
        what = f"{cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
        found = ", ".join(f"{count:g} {name}" for name, count in _resources(has))
        raise UsageError(f"--gpus-per-worker: a worker wants {what}, and this machine has {found}")
    return int(room)


def _resources(counts: dict[str, float]) -> list[tuple[str, float]]:
    return [(name, counts[name]) for name in ("CPU", "GPU") if name in counts]
