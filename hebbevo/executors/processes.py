"""Training in worker processes of this machine."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from threading import Event
from typing import IO, Any

from hebbevo.data import Split
from hebbevo.executors.batch import Batch, Results
from hebbevo.training import Measurement, Recipe


class ProcessExecutor:
    """Runs batches in ``workers`` processes at a time.

    Processes of one thread each, for PyTorch's own threads meet at every operation, and Python's at every
    second one (docs/decisions/0002-processes.md). A worker that dies makes its trainings failed ones, and is
    replaced.

    Args:
        recipe: what the trainings share.
        split: the data, of which every worker has a copy.
        device: ``cpu`` or ``cuda``.
        threads: of PyTorch in each worker; results can differ in the last bits with another number.
        workers: processes; results do not depend on it.
    """

    def __init__(self, recipe: Recipe, split: Split, *, device: str, threads: int, workers: int) -> None:
        self._workers = [_Worker((recipe, split, device, threads)) for _ in range(workers)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._pool = ThreadPoolExecutor(workers)  # its threads only wait for the processes
        self._given_up = Event()

    def run(self, batches: Iterable[Batch]) -> Results:
        """See `Executor.run`."""
        waiting = iter(batches)
        self._given_up.clear()
        running = {self._start(batch): batch for batch in islice(waiting, len(self._workers))}
        try:
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    batch = running.pop(future)
                    running |= {self._start(following): following for following in islice(waiting, 1)}
                    yield batch, future.result()
        finally:
            if running:
                self._give_up()
                wait(running)

    def close(self) -> None:
        """See `Executor.close`."""
        self._give_up()
        self._pool.shutdown()
        for worker in self._workers:
            worker.close()

    def _start(self, batch: Batch) -> Future[list[Measurement]]:
        return self._pool.submit(self._train, batch)

    def _train(self, batch: Batch) -> list[Measurement]:
        worker = self._idle.get()
        try:
            return worker.train(batch, self._given_up)
        finally:
            self._idle.put(worker)

    def _give_up(self) -> None:
        self._given_up.set()
        for worker in self._workers:
            worker.kill()


class _Worker:
    """A worker process and the pipes to it; started again when needed after it died."""

    def __init__(self, first_words: Any) -> None:
        self._first_words = first_words
        self._start()

    def train(self, batch: Batch, given_up: Event) -> list[Measurement]:
        if self._process.poll() is not None and not given_up.is_set():
            self.close()
            self._start()
        try:
            self._send(batch.candidates)
            measured: list[Measurement] = pickle.load(self._pipe(self._process.stdout))
        except (EOFError, OSError, pickle.UnpicklingError):
            self.kill()
            reason = f"its worker process ended with exit code {self._process.wait()}; perhaps out of memory"
            return [Measurement.failed(reason)] * len(batch.candidates)
        return measured

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.wait()
        self._pipe(self._process.stdout).close()
        with suppress(OSError):  # what was not yet sent is not wanted any more
            self._pipe(self._process.stdin).close()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hebbevo.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the search, which lets its workers finish
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._introduced = False

    def _send(self, message: object) -> None:
        pipe = self._pipe(self._process.stdin)
        if not self._introduced:
            pickle.dump(self._first_words, pipe)
            self._introduced = True
        pickle.dump(message, pipe)
        pipe.flush()

    def _pipe(self, pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe
