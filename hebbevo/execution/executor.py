"""The interface of executors: the cohorts they train and the results they return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from hebbevo.study.attempts import FailureKind
from hebbevo.training import Candidate, EarlyStopper, Exam, Keeping, Measurement, Recipe


@dataclass(frozen=True)
class Cohort:
    """Trials that are trained together: the unit of work, of retry and of record.

    Attributes:
        trials: numbers of the trials.
        candidates: the networks to train: the replicates of the first trial, then those of the second, and
            so on. Every trial has the same number of replicates.
        early_stopper: decides between epochs which trials to stop; ``None`` trains all to the last epoch.
        recipe: what its trainings share, if that is not what those of the whole study share.
        exam: scores that are measured after the last epoch, or ``None``.
        keeping: what a network must reach for its weights to be in its measurement; ``None``: none has.
        pruning_patience: the part of a training after which a trial is stopped that could lose neurons and
            has lost none; 1 stops none.
    """

    trials: tuple[int, ...]
    candidates: tuple[Candidate, ...]
    early_stopper: EarlyStopper | None = None
    recipe: Recipe | None = None
    exam: Exam | None = None
    keeping: Keeping | None = None
    pruning_patience: float = 1.0

    def halves(self) -> tuple[Cohort, Cohort]:
        """Split a cohort of at least two trials into two; replicates of a trial stay together.

        >>> nets = tuple(Candidate({"learning_rate": rate}) for rate in (0.1, 0.2, 0.3))
        >>> [half.trials for half in Cohort((4, 5, 6), nets).halves()]
        [(4,), (5, 6)]
        """
        cut = len(self.trials) // 2
        row = len(self.candidates) // len(self.trials) * cut
        return (
            replace(self, trials=self.trials[:cut], candidates=self.candidates[:row]),
            replace(self, trials=self.trials[cut:], candidates=self.candidates[row:]),
        )


@dataclass(frozen=True)
class LostCohort:
    """The result of a cohort whose training was lost, so that there are no measurements.

    Attributes:
        kind: why it was lost.
        reason: the same in words, for the user.
        worker: name of the worker that had the cohort.
    """

    kind: FailureKind
    reason: str
    worker: str


CohortResult = Sequence[Measurement] | LostCohort
"""One measurement per candidate, or the loss of the whole cohort."""


class Interrupted(KeyboardInterrupt):
    """Ends a training; a ``KeyboardInterrupt``, so that no handler of exceptions takes it for a failure."""


class Executor(Protocol):
    """Trains cohorts. The measurements do not depend on which executor trains them.

    An executor neither retries nor watches time limits: `dispatch_cohorts` does both.
    """

    @property
    def free(self) -> int:
        """Number of cohorts that can start at once."""

    def submit(self, cohort: Cohort) -> None:
        """Start to train a cohort. Call it only while `free` is above 0."""

    def wait(self, seconds: float) -> tuple[Cohort, CohortResult] | None:
        """Wait until a cohort has ended.

        Returns:
            The cohort with its result, or ``None`` when ``seconds`` are over or a worker became free first.

        Raises:
            WorkerError: no worker can be started.
        """

    def has_ended(self, cohort: Cohort) -> bool:
        """Whether a cohort has ended and `wait` has not returned it yet."""

    def cancel(self, cohort: Cohort) -> str:
        """Stop training a cohort; `wait` never returns it. Returns the name of its worker."""

    def interrupt(self) -> None:
        """Make `wait` return soon. Only this method may be called from a signal handler."""

    def close(self) -> None:
        """Cancel every cohort and release the workers."""
