"""Training in this process, a cohort a core at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from threading import Event

import torch

from hebbevo.data import Split
from hebbevo.training import Candidate, Measurement, Recipe, train


@dataclass(frozen=True)
class Batch:
    """The unit of work, of retry and of record: the replicates of some trials, trained as one cohort.

    Attributes:
        trials: numbers of the trials.
        candidates: the replicates of the first trial, then those of the second, and so on.
    """

    trials: tuple[int, ...]
    candidates: tuple[Candidate, ...]


class LocalExecutor:
    """Runs batches on threads of this process.

    Cohorts side by side beat one cohort on all cores: PyTorch's own threads meet at every operation, and on a
    machine with other work each meeting waits for the slowest (docs/decisions/0002-threads.md).

    Args:
        recipe: what the trainings share.
        split: the data.
        device: ``cpu`` or ``cuda``.
        workers: cohorts that train at the same time; results do not depend on it.
        threads: of PyTorch for each cohort; results can differ in the last bits with another number.
    """

    def __init__(self, recipe: Recipe, split: Split, *, device: str, workers: int, threads: int) -> None:
        self._recipe = recipe
        self._split = split
        self._device = torch.device(device)
        self._workers = workers
        self._threads = threads

    def run(self, batches: Iterable[Batch]) -> Generator[tuple[Batch, list[Measurement]], None, None]:
        """Train each batch and yield it, when it is done, with a measurement a candidate.

        Batches are taken when a worker is free. Closing the generator cancels what is still training.
        """
        waiting = iter(batches)
        cancelled = Event()
        before = torch.get_num_threads()

        def start(batch: Batch) -> Future[list[Measurement]]:
            return pool.submit(
                train, self._recipe, batch.candidates, self._split, self._device, cancelled.is_set
            )

        try:
            # the number of threads belongs to a thread (but MKL's, hence the last line)
            with ThreadPoolExecutor(self._workers, "cohort", torch.set_num_threads, (self._threads,)) as pool:
                try:
                    running = {start(batch): batch for batch in islice(waiting, self._workers)}
                    while running:
                        done, _ = wait(running, return_when=FIRST_COMPLETED)
                        for future in done:
                            batch = running.pop(future)
                            running |= {start(following): following for following in islice(waiting, 1)}
                            yield batch, future.result()
                finally:
                    cancelled.set()
        finally:
            torch.set_num_threads(before)
