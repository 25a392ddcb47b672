"""Training in this process, one cohort after the other."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from hebbevo.data import Split
from hebbevo.executors.batch import Batch, Results
from hebbevo.training import Recipe, train


class SerialExecutor:
    """Runs batches one after the other in this process.

    Args:
        recipe: what the trainings share.
        split: the data.
        device: ``cpu`` or ``cuda``.
        threads: of PyTorch while training; results can differ in the last bits with another number.
    """

    def __init__(self, recipe: Recipe, split: Split, *, device: str, threads: int) -> None:
        self._recipe = recipe
        self._split = split
        self._device = torch.device(device)
        self._threads = threads

    def run(self, batches: Iterable[Batch]) -> Results:
        """See `Executor.run`."""
        for batch in batches:
            before = torch.get_num_threads()
            torch.set_num_threads(self._threads)
            try:
                measured = train(self._recipe, batch.candidates, self._split, self._device)
            finally:
                torch.set_num_threads(before)
            yield batch, measured

    def close(self) -> None:
        """See `Executor.close`; nothing is held."""
