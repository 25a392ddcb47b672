"""What executors take and give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from hebbevo.study.attempts import FailureKind
from hebbevo.training import Candidate, EarlyStopper, Measurement


@dataclass(frozen=True)
class Cohort:
    """The unit of work, of retry and of record: the replicates of some trials, trained as one cohort.

    Attributes:
        trials: numbers of the trials.
        candidates: the replicates of the first trial, then those of the second, and so on.
        standard: what they are judged by on the way, or ``None``: all go on to the end.
    """

    trials: tuple[int, ...]
    candidates: tuple[Candidate, ...]
    standard: EarlyStopper | None = None

    def halves(self) -> tuple[Cohort, Cohort]:
        """Two batches of half the trials each; there must be two trials at least."""
        cut = len(self.trials) // 2
        row = len(self.candidates) // len(self.trials) * cut
        return (
            replace(self, trials=self.trials[:cut], candidates=self.candidates[:row]),
            replace(self, trials=self.trials[cut:], candidates=self.candidates[row:]),
        )


@dataclass(frozen=True)
class LostCohort:
    """What becomes of a batch that cannot be measured, through no score of its own.

    Attributes:
        fault: the kind of loss.
        reason: for the user.
        worker: where it happened.
    """

    fault: FailureKind
    reason: str
    worker: str


CohortResult = Sequence[Measurement] | LostCohort
"""A measurement a candidate, or none at all."""


class Executor(Protocol):
    """Where cohorts are trained; what comes out does not depend on which executor it is.

    It knows nothing of retries and deadlines: `hebbevo.execution.dispatch` does, for all of them.
    """

    @property
    def free(self) -> int:
        """Batches that it can begin at once."""

    def submit(self, batch: Cohort) -> None:
        """Begin with a batch; only while somebody is `free`."""

    def wait(self, seconds: float) -> tuple[Cohort, CohortResult] | None:
        """Wait until a batch has ended and give it; ``None`` if time is over or somebody became free first.

        Raises:
            WorkerError: no worker can be started.
        """

    def has_ended(self, batch: Cohort) -> bool:
        """Whether a batch only waits to be given."""

    def give_up(self, batch: Cohort) -> str:
        """Stop training a batch, which then does not come back; gives the name of its worker."""

    def interrupt(self) -> None:
        """Come back from `wait` soon; for signal handlers, as nothing else here is."""

    def close(self) -> None:
        """Give up everything, and let go of whatever the trainings ran on."""
