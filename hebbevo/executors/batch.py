"""What executors take and give."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from hebbevo.training import Candidate, Measurement

Results = Generator[tuple["Batch", list[Measurement]], None, None]


@dataclass(frozen=True)
class Batch:
    """The unit of work, of retry and of record: the replicates of some trials, trained as one cohort.

    Attributes:
        trials: numbers of the trials.
        candidates: the replicates of the first trial, then those of the second, and so on.
    """

    trials: tuple[int, ...]
    candidates: tuple[Candidate, ...]


class Executor(Protocol):
    """Where cohorts are trained; what comes out does not depend on which executor it is."""

    def run(self, batches: Iterable[Batch]) -> Results:
        """Train each batch and yield it, when it is done, with a measurement a candidate.

        Batches are taken when somebody is free to train them. Closing the generator gives up what is still
        training.
        """

    def close(self) -> None:
        """Let go of whatever the trainings ran on."""
