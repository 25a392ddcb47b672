"""What executors have in common whose workers live outside this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from time import monotonic
from typing import Any, Protocol

from hebbevo.errors import WorkerError
from hebbevo.execution.executor import Cohort, CohortResult, LostCohort
from hebbevo.training import Measurement

_STARTS = 3  # in a row that fail before no other is tried
_PATIENCE = 20.0  # seconds without any worker, until the user is told


class Worker(Protocol):
    """A process that trains a cohort at a time. A future that raises says that it is gone."""

    name: str

    @property
    def alive(self) -> bool:
        """Whether it is, as far as one knows."""

    def begin(self) -> Future[str]:
        """Get ready, or show that it still is; gives what is in the way of that, or nothing."""

    def train(self, batch: Cohort) -> Future[list[Measurement] | LostCohort]:
        """Train a cohort."""

    def lost(self, error: BaseException) -> LostCohort:
        """What a future that raised says of the cohort."""

    def kill(self) -> None:
        """End it, whatever it does."""


class WorkerPool(ABC):
    """An executor of so many workers; one that is gone is replaced.

    Args:
        workers: that are wanted.
        tell: says something to the user.
    """

    def __init__(self, workers: int, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._missing = workers
        self._starting: dict[Future[str], Worker] = {}
        self._idle: list[Worker] = []
        self._running: dict[Future[list[Measurement] | LostCohort], tuple[Cohort, Worker]] = {}
        self._failed_starts = 0
        self._nobody_since: float | None = monotonic()

    @abstractmethod
    def _hire(self) -> Worker:
        """Make a worker, which will be told to begin."""

    @abstractmethod
    def _why_nobody(self) -> str:
        """What to tell the user while there has been no worker for a while."""

    @property
    def free(self) -> int:
        """See `Executor.free`."""
        for worker in [worker for worker in self._idle if not worker.alive]:
            self._idle.remove(worker)
            self._lose(worker)
        return len(self._idle)

    def submit(self, batch: Cohort) -> None:
        """See `Executor.submit`."""
        worker = self._idle.pop()
        self._running[worker.train(batch)] = batch, worker

    def wait(self, seconds: float) -> tuple[Cohort, CohortResult] | None:
        """See `Executor.wait`."""
        self._hire_missing()
        pending: list[Future[Any]] = [*self._running, *self._starting]
        wait(pending, seconds, FIRST_COMPLETED)
        for start in filter(Future.done, [*self._starting]):
            self._begun(self._starting.pop(start), start)
        self._tell_if_nobody_is_there()
        for training, (batch, worker) in self._running.items():
            if training.done():
                del self._running[training]
                return batch, self._outcome(worker, training)
        return None

    def has_ended(self, batch: Cohort) -> bool:
        """See `Executor.has_ended`."""
        return any(training.done() for training, (running, _) in self._running.items() if running is batch)

    def give_up(self, batch: Cohort) -> str:
        """See `Executor.give_up`."""
        for training, (running, worker) in self._running.items():
            if running is batch:
                del self._running[training]
                self._lose(worker)
                return worker.name
        return ""

    def interrupt(self) -> None:  # noqa: B027  it is whole
        """See `Executor.interrupt`; who waits here looks up often."""

    def close(self) -> None:
        """See `Executor.close`."""
        for worker in (
            *self._idle,
            *self._starting.values(),
            *(worker for _, worker in self._running.values()),
        ):
            worker.kill()

    def _outcome(self, worker: Worker, training: Future[list[Measurement] | LostCohort]) -> CohortResult:
        error = training.exception()
        if error is None:
            self._idle.append(worker)
            return training.result()
        self._lose(worker)
        # whatever took it may have taken others, who have to show that they are there
        suspects, self._idle = self._idle, []
        for other in suspects:
            self._starting[other.begin()] = other
        return worker.lost(error)

    def _lose(self, worker: Worker) -> None:
        worker.kill()
        self._missing += 1

    def _hire_missing(self) -> None:
        while self._missing:
            self._missing -= 1
            worker = self._hire()
            self._starting[worker.begin()] = worker

    def _begun(self, worker: Worker, start: Future[str]) -> None:
        error = start.exception()
        problem = start.result() if error is None else worker.lost(error).reason
        if not problem:
            self._failed_starts = 0
            self._idle.append(worker)
            return
        self._lose(worker)
        self._failed_starts += 1
        if error is None or self._failed_starts >= _STARTS:
            self._missing -= 1
        if not (self._missing or self._starting or self._idle or self._running):
            raise WorkerError(f"no worker can be started: {problem}")

    def _tell_if_nobody_is_there(self) -> None:
        if self._idle or self._running:
            self._nobody_since = None
        elif self._nobody_since is None:
            self._nobody_since = monotonic()
        elif monotonic() - self._nobody_since > _PATIENCE:
            self._nobody_since = float("inf")  # told once
            self._tell(self._why_nobody())
