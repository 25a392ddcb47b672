"""Training in threads of the search's own process, for trainings that leave the interpreter free."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import torch

from hebbevo.errors import WorkerError
from hebbevo.execution.executor import Cohort, Interrupted, LostCohort
from hebbevo.execution.worker_pool import Answer, WorkerPool
from hebbevo.execution.worker_setup import WorkerSetup
from hebbevo.messages import describe
from hebbevo.study.attempts import FailureKind


class ThreadExecutor(WorkerPool):
    """Trains in threads of this process, as many at a time as there are workers.

    The native engine leaves the interpreter to other threads while it computes. So nothing is copied, and
    PyTorch is imported once. Threads have no limits of their own: a time limit cannot end a training, and a
    crash ends the search. A training that is cancelled ends after its epoch.

    Args:
        setup: what the cohorts have in common; its limits of the process (priority, memory) do not apply.
        workers: number of threads; results do not depend on it.
    """

    def __init__(self, setup: WorkerSetup, *, workers: int) -> None:
        super().__init__(workers, lambda _: None)
        self._setup = setup
        self._made: list[_WorkerThread] = []
        self._start_missing()

    def new_worker(self) -> _WorkerThread:
        """See `WorkerPool.new_worker`."""
        self._made = [*(each for each in self._made if each.is_training), _WorkerThread(self._setup)]
        return self._made[-1]

    def waiting_notice(self) -> str:
        """See `WorkerPool.waiting_notice`."""
        return "waiting for a training to end"

    def close(self) -> None:
        """See `Executor.close`. It returns when all threads have ended, at the latest after their epochs."""
        super().close()
        for each in self._made:
            each.join()
        # the threads have also set what PyTorch has once for all threads
        torch.set_num_threads(torch.get_num_threads())


class _WorkerThread:
    """Trains one cohort after the other, each in a thread of its own; see `Worker`."""

    is_alive = True

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._is_cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self.name = "a thread of the search"

    @property
    def is_training(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def prepare(self) -> Future[str]:
        prepared: Future[str] = Future()
        prepared.set_result("")
        return prepared

    def train(self, cohort: Cohort) -> Future[Answer]:
        answer: Future[Answer] = Future()
        # a daemon: without the search, the result of a training in progress is of no use
        self._thread = threading.Thread(target=self._train, args=(cohort, answer), daemon=True)
        self._thread.start()
        return answer

    def lost_cohort(self, error: BaseException) -> LostCohort:
        return LostCohort(FailureKind.CRASH, describe(error), self.name)

    def kill(self) -> None:
        self._is_cancelled.set()

    def join(self) -> None:
        """Wait until its thread has ended."""
        if self._thread is not None:
            self._thread.join()

    def _train(self, cohort: Cohort, answer: Future[Answer]) -> None:
        """Train a cohort; runs in a thread of its own."""
        torch.set_num_threads(self._setup.threads)  # each thread has its own number
        try:
            answer.set_result(self._setup.train(cohort, self.name, self._end_if_cancelled))
        except WorkerError as error:
            answer.set_result(error)
        except BaseException as error:
            answer.set_exception(error)

    def _end_if_cancelled(self) -> None:
        if self._is_cancelled.is_set():
            raise Interrupted
