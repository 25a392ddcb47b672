"""The common part of executors with several workers: start, watch and replace them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from time import monotonic
from typing import Any, Protocol

from hebbevo.errors import WorkerError
from hebbevo.execution.executor import Cohort, CohortResult, LostCohort
from hebbevo.training import Measurement

MAX_FAILED_STARTS = 3
"""From so many failed starts in a row on, a worker that fails to start is not replaced."""

NOTICE_AFTER = 20.0
"""Seconds without any worker after which the user is notified."""

Answer = list[Measurement] | LostCohort | WorkerError
"""What a worker answers to a cohort."""


class Worker(Protocol):
    """A process or thread that trains one cohort at a time; if a future of it raises, it has died."""

    name: str
    """For the user, such as ``process 4711``."""

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; ``True`` if that is not known."""

    def prepare(self) -> Future[str]:
        """Prepare it for training, or check that a prepared one still runs.

        The future gives an empty text, or the problem because of which it cannot train.
        """

    def train(self, cohort: Cohort) -> Future[Answer]:
        """Train a cohort. A `WorkerError` is a problem of the search, such as code that has changed."""

    def lost_cohort(self, error: BaseException) -> LostCohort:
        """Describe the death of this worker, given the exception of its future."""

    def kill(self) -> None:
        """End it, whatever it does; a thread ends after the epoch that it trains."""


class WorkerPool(ABC):
    """An executor with a fixed number of workers; one that dies is replaced.

    Args:
        workers: how many.
        notify: shows a line to the user.
    """

    def __init__(self, workers: int, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._missing = workers
        self._starting: dict[Future[str], Worker] = {}
        self._idle: list[Worker] = []
        self._running: dict[Future[Answer], tuple[Cohort, Worker]] = {}
        self._failed_starts = 0
        self._without_workers_since: float | None = monotonic()

    @abstractmethod
    def new_worker(self) -> Worker:
        """Create a worker. The pool prepares it."""

    @abstractmethod
    def waiting_notice(self) -> str:
        """The line for the user when the pool has had no worker for `NOTICE_AFTER` seconds."""

    @property
    def free(self) -> int:
        """See `Executor.free`."""
        for worker in [worker for worker in self._idle if not worker.is_alive]:
            self._idle.remove(worker)
            self._discard(worker)
        return len(self._idle)

    def submit(self, cohort: Cohort) -> None:
        """See `Executor.submit`."""
        worker = self._idle.pop()
        self._running[worker.train(cohort)] = cohort, worker

    def wait(self, seconds: float) -> tuple[Cohort, CohortResult] | None:
        """See `Executor.wait`."""
        self._start_missing()
        pending: list[Future[Any]] = [*self._running, *self._starting]
        wait(pending, seconds, FIRST_COMPLETED)
        for start in filter(Future.done, [*self._starting]):
            self._finish_start(self._starting.pop(start), start)
        self._notify_if_without_workers()
        for training, (cohort, worker) in self._running.items():
            if training.done():
                del self._running[training]
                return cohort, self._result(worker, training)
        return None

    def has_ended(self, cohort: Cohort) -> bool:
        """See `Executor.has_ended`."""
        return any(training.done() for training, (running, _) in self._running.items() if running is cohort)

    def cancel(self, cohort: Cohort) -> str:
        """See `Executor.cancel`. A worker cannot stop a training, so it is killed and replaced."""
        for training, (running, worker) in self._running.items():
            if running is cohort:
                del self._running[training]
                self._discard(worker)
                return worker.name
        return ""

    def interrupt(self) -> None:  # noqa: B027  not abstract: there is nothing to do
        """See `Executor.interrupt`. `wait` returns soon in any case, since `dispatch_cohorts` polls."""

    def close(self) -> None:
        """See `Executor.close`."""
        training = (worker for _, worker in self._running.values())
        for worker in (*self._idle, *self._starting.values(), *training):
            worker.kill()

    def _result(self, worker: Worker, training: Future[Answer]) -> CohortResult:
        error = training.exception()
        if error is None:
            self._idle.append(worker)
            result = training.result()
            if isinstance(result, WorkerError):
                raise result
            return result
        self._discard(worker)
        # a lost machine takes several workers at once: check the idle ones before they get a cohort
        unchecked, self._idle = self._idle, []
        for other in unchecked:
            self._starting[other.prepare()] = other
        return worker.lost_cohort(error)

    def _discard(self, worker: Worker) -> None:
        worker.kill()
        self._missing += 1

    def _start_missing(self) -> None:
        while self._missing:
            self._missing -= 1
            worker = self.new_worker()
            self._starting[worker.prepare()] = worker

    def _finish_start(self, worker: Worker, start: Future[str]) -> None:
        error = start.exception()
        problem = start.result() if error is None else worker.lost_cohort(error).reason
        if not problem:
            self._failed_starts = 0
            self._idle.append(worker)
            return
        self._discard(worker)
        self._failed_starts += 1
        # a problem that the worker itself reports would come again; a death may be an accident
        if error is None or self._failed_starts >= MAX_FAILED_STARTS:
            self._missing -= 1
        if not (self._missing or self._starting or self._idle or self._running):
            raise WorkerError(f"no worker can be started: {problem}")
        if error is None:
            self._notify(f"{worker.name} cannot train: {problem}")

    def _notify_if_without_workers(self) -> None:
        if self._idle or self._running:
            self._without_workers_since = None
        elif self._without_workers_since is None:
            self._without_workers_since = monotonic()
        elif monotonic() - self._without_workers_since > NOTICE_AFTER:
            self._without_workers_since = float("inf")  # so that the user is notified once
            self._notify(self.waiting_notice())
