"""Training in this process, one cohort after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
    """Runs batches in this process.

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

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, list[Measurement]]]:
        """Train each batch and yield it with a measurement a candidate."""
        for batch in batches:
            threads = torch.get_num_threads()
            torch.set_num_threads(self._threads)
            try:
                measured = train(self._recipe, batch.candidates, self._split, self._device)
            finally:
                torch.set_num_threads(threads)
            yield batch, measured
