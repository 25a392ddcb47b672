"""Where a search stands, as it reports it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hebbevo.objectives import pareto
from hebbevo.study.epoch_results import epoch_results
from hebbevo.study.front import front_rows, works
from hebbevo.study.ledger import Ledger, Result


@dataclass(frozen=True)
class Progress:
    """Where a search stands. It is reported after every cohort.

    Attributes:
        trials: number of finished trials, including failed ones and copies.
        copies: number of trials that took the result of an earlier trial with the same genome.
        stopped: number of trials that were stopped early.
        total: number of trials to reach.
        generation: number of the present generation; 0 is the first.
        front: number of points on the front.
        hypervolume: see `Study.hypervolume`.
        fresh: number of trials finished since this process started.
        seconds_left: seconds until the timeout; infinite without one.
        notice: a line for the user, or empty.
        failed: number of trials that failed.
        reached: the best accuracy so far, and the fewest survivors with nearly as much, in words.
    """

    trials: int
    copies: int
    stopped: int
    total: int
    generation: int
    front: int
    hypervolume: float
    fresh: int
    seconds_left: float
    notice: str = ""
    failed: int = 0
    reached: str = ""

    @property
    def done(self) -> int:
        """The number of what a progress bar counts: ``trials``."""
        return self.trials

    @property
    def noun(self) -> str:
        """What a progress bar counts."""
        return "trials"

    @property
    def counts(self) -> list[str]:
        """What stands beside a progress bar, the most important first."""
        numbers = {"failed": self.failed, "stopped": self.stopped, "copies": self.copies}
        return [
            *([self.reached] if self.reached else []),
            *(f"{what} {number}" for what, number in numbers.items() if number),
        ]


_NEARLY = 0.05  # of accuracy below the best, as in the window of a knob

Watcher = Callable[[Progress], None]
"""Receives the progress of a search."""


class Tally:
    """The counts and the front of a study. Adding results costs the same however long the study is.

    Attributes:
        trials, copies, stopped, failed: as in `Progress`.
        front: accuracy and survivors of every point on the front, (n, 2).
    """

    def __init__(self, ledger: Ledger) -> None:
        self.trials = self.copies = self.stopped = self.failed = 0
        self.front = np.empty((0, 2))
        self._epochs = ledger.spec.task.epochs
        self._task = ledger.spec.task
        self._count = ledger.spec.network.count
        self._goal = ledger.spec.goal
        self._facts = ledger.facts

    def add(self, results: Sequence[Result]) -> None:
        """Count results that have not been counted before."""
        self.trials += len(results)
        self.copies += sum(result.details.copy_of is not None for result in results)
        self.stopped += sum(result.details.stopped is not None for result in results)
        self.failed += sum(result.details.failure is not None for result in results)
        reached = [
            point.values
            for result in results
            for point in epoch_results(result, self._epochs)
            if works(point, result.details, self._facts.chance)
        ]
        feasible = [values for values in reached if self._goal.violation(values) <= 0]
        candidates = np.vstack([self.front, *feasible])
        self.front = candidates[front_rows(candidates)]

    @property
    def reached(self) -> str:
        """The best accuracy so far, and the fewest survivors with at most 0.05 less, in words.

        Empty before the first result, and if all trials failed.
        """
        if not len(self.front):
            what = "beats chance" if not self._goal.constraints else "meets the constraints"
            return f"no network {what} yet" if self.trials > self.failed else ""
        accuracy, survivors = self.front.T
        best = accuracy.max()
        smallest = np.where(accuracy >= best - _NEARLY, survivors, np.inf).argmin()
        size = f"with {survivors[smallest]:.1f}".removesuffix(".0") + f" {self._count}"
        if accuracy[smallest] == best:
            return f"best {self._score(best)} {size}"
        return f"best {self._score(best)}; {self._score(accuracy[smallest])} {size}"

    def _score(self, accuracy: float) -> str:
        return f"{100 * accuracy:.1f} %" if self._task.in_percent else f"{accuracy:.3f}"

    @property
    def hypervolume(self) -> float:
        """The hypervolume of the front; see `Study.hypervolume`."""
        return pareto.hypervolume(self.front, self._facts.chance, self._facts.neurons)
