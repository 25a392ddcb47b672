"""Training in worker processes of this machine."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from hebbevo.execution import prestart
from hebbevo.execution.executor import Cohort, LostCohort
from hebbevo.execution.worker_pool import WorkerPool
from hebbevo.execution.worker_setup import WorkerSetup
from hebbevo.study.attempts import FailureKind
from hebbevo.training import Measurement


class ProcessExecutor(WorkerPool):
    """Trains in ``workers`` processes at a time.

    Processes of few threads each, for PyTorch's own threads meet at every operation, and Python's at every
    second one (docs/explanation/decisions/0002-processes.md).

    Args:
        job: what the cohorts have in common; every worker has a copy of its data.
        workers: processes; results do not depend on it.
        tell: says something to the user.
    """

    def __init__(
        self, job: WorkerSetup, *, workers: int, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(workers, tell)
        self._job = job
        self._threads = ThreadPoolExecutor(2 * workers + 2)  # which only wait for the living and the dead
        self._hire_missing()

    def close(self) -> None:
        """See `Executor.close`."""
        super().close()
        self._threads.shutdown()

    def _hire(self) -> _Process:
        return _Process(self._job, self._threads)

    def _why_nobody(self) -> str:
        return "waiting for a worker process to begin"


class _Process:
    """A worker process and the pipes to it."""

    def __init__(self, job: WorkerSetup, threads: ThreadPoolExecutor) -> None:
        self._job = job
        self._threads = threads
        self._begun = False
        self._process = prestart.take()
        self.name = f"process {self._process.pid}"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def begin(self) -> Future[str]:
        if not self._begun:
            self._begun = True
            return self._threads.submit(self._answer, self._job)
        still_there: Future[str] = Future()
        if self.alive:
            still_there.set_result("")
        else:
            still_there.set_exception(EOFError())
        return still_there

    def train(self, batch: Cohort) -> Future[list[Measurement] | LostCohort]:
        return self._threads.submit(self._answer, batch)

    def lost(self, error: BaseException) -> LostCohort:
        code = self._process.wait()
        reason = f"its worker process ended with exit code {code}; perhaps out of memory"
        return LostCohort(FailureKind.CRASH, reason, self.name)

    def kill(self) -> None:
        # whatever the user's code has started is of its group, and may hold the pipes open
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._threads.submit(self._bury)

    def _answer(self, message: object) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)

    def _bury(self) -> None:
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stdin):
            assert pipe is not None
            with suppress(OSError):  # what was not yet sent is not wanted any more
                pipe.close()
