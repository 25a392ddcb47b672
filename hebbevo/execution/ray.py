"""Training in actors of a Ray cluster, on this machine or on many."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# Ray reads these settings when it is imported or started
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # avoids a warning of a future change
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's default is 15; --nice sets it here
# messages that Ray would print although the pool reports the same
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed|has been marked dead")

import ray
from ray._private import ray_constants
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError
from ray.job_config import JobConfig

from hebbevo import import_path
from hebbevo.errors import UsageError, WorkerError
from hebbevo.execution import ray_guard
from hebbevo.execution.executor import Cohort, LostCohort
from hebbevo.execution.worker_pool import Answer, WorkerPool
from hebbevo.execution.worker_setup import WorkerSetup
from hebbevo.messages import describe
from hebbevo.study.attempts import FailureKind

_CONNECT_SECONDS = 10.0  # to wait for an answer from a cluster's address


class RayExecutor(WorkerPool):
    """Trains in Ray actors. One that dies, or whose node is lost, is replaced where the cluster has room.

    Ray's object store holds the data once per node, and the workers of the node read them there.

    Args:
        setup: what the cohorts have in common.
        workers: number of actors, by default as many as the cluster has room for now. Results do not depend
            on it.
        max_workers: an upper limit of that number: more actors would be idle.
        gpus: GPUs per worker; with 0.5 two workers share one. Ray shows each worker only its own.
        address: of the cluster, ``auto`` or ``host:port``; ``None`` starts Ray on this machine, unless this
            process is connected to a cluster already.
        cores: cores for Ray to use where it is started on this machine.
        notify: shows a line to the user.

    Raises:
        UsageError: there is no cluster at the address, or this machine has no room for a single worker.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        *,
        workers: int | None = None,
        max_workers: int = sys.maxsize,
        gpus: float = 0.0,
        address: str | None = None,
        cores: int = 1,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._guard: subprocess.Popen[bytes] | None = None
        cpus = max(cores, setup.threads * min(workers or 1, max_workers))
        self._has_connected = not ray.is_initialized()
        if self._has_connected:
            if address is None:
                self._guard = _start(cpus)
            else:
                _connect(address)
        try:
            needed = _Resources(setup.threads, gpus, setup.memory_bytes or 0)
            super().__init__(min(workers or needed.workers_on_cluster(address), max_workers), notify)
            self._setup = ray.put(setup)
            # workers look for modules where this process does; in its current folder only for the user's code
            self._path = import_path.without_current_folder(sys.path)
            if setup.recipe.code:
                self._path = import_path.with_folder(self._path, os.getcwd())
            self._actor = ray.remote(_Actor).options(
                num_cpus=setup.threads,
                num_gpus=gpus,
                memory=setup.memory_bytes,
                max_restarts=0,  # `dispatch_cohorts` decides on retries and records them
                max_task_retries=0,
            )
            self._start_missing()
        except BaseException:
            self._disconnect()
            raise

    def new_worker(self) -> _ActorWorker:
        """See `WorkerPool.new_worker`."""
        return _ActorWorker(self._actor.remote(self._setup, self._path))

    def waiting_notice(self) -> str:
        """See `WorkerPool.waiting_notice`."""
        free = _Resources.of(ray.available_resources())
        return f"waiting for Ray to start a worker; free in the cluster: {free or 'nothing'}"

    def close(self) -> None:
        """See `Executor.close`. A connection to a cluster that existed before stays."""
        super().close()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._has_connected:
            ray.shutdown()
        ray_guard.release(self._guard)
        self._guard = None


class _ActorWorker:
    """The search's side of an actor; see `Worker`."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.name = "a worker of Ray"

    @property
    def is_alive(self) -> bool:
        return True  # Ray reports a death only in the answer to a request

    def prepare(self) -> Future[str]:
        answer: Future[tuple[str, str]] = self._handle.prepare.remote().future()
        prepared: Future[str] = Future()

        def unpack(answer: Future[tuple[str, str]]) -> None:
            if error := answer.exception():
                prepared.set_exception(error)
            else:
                self.name, problem = answer.result()
                prepared.set_result(problem)

        answer.add_done_callback(unpack)
        return prepared

    def train(self, cohort: Cohort) -> Future[Answer]:
        training: Future[Answer] = self._handle.train.remote(cohort).future()
        return training

    def lost_cohort(self, error: BaseException) -> LostCohort:
        # Ray's memory monitor kills the worker that uses most when a node runs low
        low = isinstance(error, OutOfMemoryError) or "running low on memory" in str(error)
        kind = FailureKind.MEMORY if low else FailureKind.CRASH
        return LostCohort(kind, f"its worker was lost: {_cause(error)}", self.name)

    def kill(self) -> None:
        ray.kill(self._handle)


class _Actor:
    """The cluster's side of an actor: the code that runs there."""

    def __init__(self, setup: WorkerSetup, path: list[str]) -> None:
        # for the user's own code, which is found in the same order as in the search
        sys.path[:] = [*path, *(folder for folder in sys.path if folder not in path)]
        # the data are in the object store, read-only; PyTorch warns of that, but trainings do not write them
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        self._setup = setup
        context = ray.get_runtime_context()
        gpus = ",".join(map(str, ray.get_gpu_ids()))
        node = context.get_node_id()[:8]
        self._name = f"process {os.getpid()} on node {node}{gpus and f', GPU {gpus}'}"

    def prepare(self) -> tuple[str, str]:
        """Prepare this process; give its name, and the problem because of which it cannot train, if any."""
        try:
            self._setup.prepare()
        except Exception as error:
            return self._name, str(error) if isinstance(error, WorkerError) else describe(error)
        return self._name, ""

    def train(self, cohort: Cohort) -> Answer:
        try:
            return self._setup.train(cohort, self._name)
        except WorkerError as error:  # Ray would wrap it
            return error


@dataclass(frozen=True)
class _Resources:
    """The resources that Ray schedules by: what a worker needs, or what a cluster has."""

    cpus: float
    gpus: float
    memory: float

    @classmethod
    def of(cls, counts: Mapping[str, float]) -> _Resources:
        """Take them from Ray's table of resources."""
        return cls(*(counts.get(name, 0.0) for name in ("CPU", "GPU", "memory")))

    def __str__(self) -> str:
        counts = ((self.cpus, "CPU"), (self.gpus, "GPU"), (self.memory / 1e9, "GB"))
        return ", ".join(f"{count:.4g} {unit}" for count, unit in counts if count)

    def workers_on_cluster(self, address: str | None) -> int:
        """How many workers with these needs fit on the whole cluster, whether it is in use or not.

        At least 1, even where none fits now: nodes may join a cluster with an address.

        Raises:
            UsageError: none fits on this machine, which is the whole cluster.
        """
        has = self.of(ray.cluster_resources())
        pairs = ((has.cpus, self.cpus), (has.gpus, self.gpus), (has.memory, self.memory))
        # fractions of GPUs must add up: ten workers with 0.1 each fit
        count = min(int(available / needed + 1e-9) for available, needed in pairs if needed)
        if count < 1 and address is None:
            raise UsageError(
                f"--executor ray: a worker needs {self}, and this machine has {has}; ask for less"
            )
        return max(count, 1)


def _cause(error: BaseException) -> str:
    """The cause that Ray names in its message, without guesses and advice."""
    if isinstance(error, RayTaskError):
        return describe(error.cause)
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if " because " in line), describe(error)).partition(". ")[0]


def _start(cpus: int) -> subprocess.Popen[bytes] | None:
    """Start Ray on this machine, with a process that guards it.

    Raises:
        UsageError: it does not start.
    """
    with ray_guard.guarding() as guard, _on_loopback():
        try:
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **_quiet())
        except Exception as error:  # Ray raises plain exceptions here, too
            what = f"Ray does not start on this machine ({describe(error)})"
            raise UsageError(f"--executor ray: {what}; try again, or use --executor local") from error
    return guard


def _connect(address: str) -> None:
    """Connect to a cluster.

    Raises:
        UsageError: it cannot be reached.
    """
    try:
        _check_reachable(address)
        ray.init(address=address, **_quiet())
    except (OSError, ValueError, RuntimeError, RayError) as error:
        problem = f"{address} cannot be reached ({describe(error)})"
        raise UsageError(f"--ray-address: {problem}; start Ray there, or write auto or HOST:PORT") from error


def _quiet() -> dict[str, Any]:
    return {"log_to_driver": False, "logging_level": "ERROR", "job_config": _job_config()}


class _Unchanged(list[str]):
    """A list that ignores what is added to it."""

    def extend(self, more: Iterable[str]) -> None:
        """Ignore more items."""


def _job_config() -> JobConfig | None:
    """Settings with which Ray's workers do not look for modules in the current folder first.

    ``None`` where Ray itself has the settings in the environment, which is so for its jobs.
    """
    if any(name.startswith("RAY_JOB_CONFIG_JSON") for name in os.environ):
        return None
    config = JobConfig()
    config._py_driver_sys_path = _Unchanged()
    return config


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Within it, Ray starts so that it can be reached from this machine only.

    By itself Ray does so on macOS and Windows, and opens its ports to the network on Linux.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _check_reachable(address: str) -> None:
    """Open a connection to the address; Ray itself would wait for minutes where there is no cluster.

    Raises:
        OSError: no answer.
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in address and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
