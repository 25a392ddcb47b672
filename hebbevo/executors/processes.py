"""Training in worker processes of this machine."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import IO, Any

from hebbevo.attempts import Fault
from hebbevo.errors import WorkerError
from hebbevo.executors.batch import Batch, Lost, Outcome
from hebbevo.executors.job import Job

_STARTS = 3  # in a row that fail before it is given up


class ProcessExecutor:
    """Trains in ``workers`` processes at a time.

    Processes of few threads each, for PyTorch's own threads meet at every operation, and Python's at every
    second one (docs/decisions/0002-processes.md). A worker that dies is replaced.

    Args:
        job: what the cohorts have in common; every worker has a copy of its data.
        workers: processes; results do not depend on it.
    """

    def __init__(self, job: Job, *, workers: int) -> None:
        self._job = job
        self._pool = ThreadPoolExecutor(workers)  # its threads only wait for the processes
        self._missing = workers
        self._starting: dict[Future[str], _Worker] = {}
        self._idle: list[_Worker] = []
        self._running: dict[Future[Outcome], tuple[Batch, _Worker]] = {}
        self._failed_starts = 0
        self._start_missing()

    @property
    def free(self) -> int:
        """See `Executor.free`."""
        return len(self._idle)

    def submit(self, batch: Batch) -> None:
        """See `Executor.submit`."""
        worker = self._idle.pop()
        self._running[self._pool.submit(worker.train, batch)] = batch, worker

    def wait(self, seconds: float) -> tuple[Batch, Outcome] | None:
        """See `Executor.wait`."""
        self._start_missing()
        pending: list[Future[Any]] = [*self._running, *self._starting]
        wait(pending, seconds, FIRST_COMPLETED)
        for start in filter(Future.done, [*self._starting]):
            self._begun(self._starting.pop(start), start.result())
        for training in filter(Future.done, self._running):
            batch, worker = self._running.pop(training)
            self._keep(worker)
            return batch, training.result()
        return None

    def give_up(self, batch: Batch) -> str:
        """See `Executor.give_up`."""
        training = next(each for each, (running, _) in self._running.items() if running is batch)
        _, worker = self._running.pop(training)
        worker.kill()
        self._missing += 1
        return worker.name

    def close(self) -> None:
        """See `Executor.close`."""
        workers = [*self._idle, *self._starting.values(), *(worker for _, worker in self._running.values())]
        for worker in workers:
            worker.kill()
        self._pool.shutdown()
        for worker in workers:
            worker.end()

    def _start_missing(self) -> None:
        for _ in range(self._missing):
            worker = _Worker()
            self._starting[self._pool.submit(worker.begin, self._job)] = worker
        self._missing = 0

    def _begun(self, worker: _Worker, problem: str) -> None:
        if not problem:
            self._failed_starts = 0
            self._idle.append(worker)
            return
        self._failed_starts += 1
        self._missing += 1
        if worker.alive or self._failed_starts == _STARTS:  # the living one has a reason, not an accident
            worker.end()
            raise WorkerError(f"no worker process can be started: {problem}")

    def _keep(self, worker: _Worker) -> None:
        if worker.alive:
            self._idle.append(worker)
        else:
            self._missing += 1


class _Worker:
    """A worker process and the pipes to it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hebbevo.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the search, which lets its workers finish
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self.name = f"process {self._process.pid}"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def begin(self, job: Job) -> str:
        """Wait until it is ready; give what is in the way, or nothing."""
        try:
            problem: str = self._answer(job)
        except (EOFError, OSError, pickle.UnpicklingError):
            return f"it {self.end()}"
        return problem

    def train(self, batch: Batch) -> Outcome:
        try:
            outcome: Outcome = self._answer(batch.candidates)
        except (EOFError, OSError, pickle.UnpicklingError):
            return Lost(Fault.CRASH, f"its worker process {self.end()}", self.name)
        return outcome

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> str:
        """Kill it and close the pipes; say how it ended."""
        self.kill()
        code = self._process.wait()
        self._pipe(self._process.stdout).close()
        with suppress(OSError):  # what was not yet sent is not wanted any more
            self._pipe(self._process.stdin).close()
        return f"ended with exit code {code}; perhaps out of memory"

    def _answer(self, message: object) -> Any:
        pipe = self._pipe(self._process.stdin)
        pickle.dump(message, pipe)
        pipe.flush()
        return pickle.load(self._pipe(self._process.stdout))

    def _pipe(self, pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe
