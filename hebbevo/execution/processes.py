"""Training in worker processes on this machine."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from hebbevo.execution import prestart
from hebbevo.execution.executor import Cohort, LostCohort
from hebbevo.execution.worker_pool import Answer, WorkerPool
from hebbevo.execution.worker_setup import WorkerSetup
from hebbevo.study.attempts import FailureKind

SYSTEM_COUNTS = Path("/proc/vmstat")
"""Where Linux counts the processes that it has killed for lack of memory."""


class ProcessExecutor(WorkerPool):
    """Trains in worker processes on this machine, each with a few PyTorch threads.

    Many threads in one process are slower: PyTorch's threads wait for each other after every operation, and
    Python's take turns at the interpreter lock (docs/explanation/decisions/0002-processes.md).

    Args:
        setup: what the cohorts have in common. Every worker gets a copy, with the data in it.
        workers: number of processes; results do not depend on it.
        notify: shows a line to the user.
    """

    def __init__(
        self, setup: WorkerSetup, *, workers: int, notify: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(workers, notify)
        self._setup = setup
        # a thread waits for each worker's answer, and one for the end of each worker that was killed
        self._threads = ThreadPoolExecutor(2 * workers + 2)
        self._start_missing()

    def new_worker(self) -> _WorkerProcess:
        """See `WorkerPool.new_worker`. The first is the prestarted worker, if there is one."""
        return _WorkerProcess(self._setup, self._threads)

    def waiting_notice(self) -> str:
        """See `WorkerPool.waiting_notice`."""
        return "waiting for a worker process to start"

    def close(self) -> None:
        """See `Executor.close`."""
        super().close()
        self._threads.shutdown()


class _WorkerProcess:
    """A worker process and the pipes to it; see `Worker`."""

    def __init__(self, setup: WorkerSetup, threads: ThreadPoolExecutor) -> None:
        self._setup = setup
        self._threads = threads
        self._is_prepared = False
        self._process = prestart.take()
        self._kills_before = _kills_for_memory()
        self.name = f"process {self._process.pid}"

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def prepare(self) -> Future[str]:
        if not self._is_prepared:
            self._is_prepared = True
            return self._threads.submit(self._ask, self._setup)
        checked: Future[str] = Future()
        if self.is_alive:
            checked.set_result("")
        else:
            checked.set_exception(EOFError())
        return checked

    def train(self, cohort: Cohort) -> Future[Answer]:
        self._kills_before = _kills_for_memory()
        return self._threads.submit(self._ask, cohort)

    def lost_cohort(self, error: BaseException) -> LostCohort:
        code = self._process.wait()
        if code == -signal.SIGKILL and _kills_for_memory() > self._kills_before:
            reason = "its worker process was killed because the machine ran out of memory"
            return LostCohort(FailureKind.MEMORY, reason, self.name)
        return LostCohort(FailureKind.CRASH, f"its worker process {_end(code)}", self.name)

    def kill(self) -> None:
        # the whole process group: processes that the user's code has started may hold the pipes open
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._threads.submit(self._clean_up)

    def _ask(self, message: object) -> Any:
        """Send a message and wait for the answer; runs in a thread of its own."""
        assert self._process.stdin is not None and self._process.stdout is not None
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)

    def _clean_up(self) -> None:
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stdin):
            assert pipe is not None
            with suppress(OSError):  # closing flushes what the dead process has not read
                pipe.close()


def _end(code: int) -> str:
    """How a process ended: its exit code, or the name of the signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    meaning = signal.strsignal(-code)
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a signal without a name
        name = f"signal {-code}"
    return f"was ended by {name}{meaning and f' ({meaning.lower()})'}"


def _kills_for_memory() -> int:
    """How many processes the system has killed for lack of memory; 0 where it does not count them."""
    with suppress(OSError, ValueError):
        for line in SYSTEM_COUNTS.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
