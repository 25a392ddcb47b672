"""Where a search stands, as it reports it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hebbevo.objectives import pareto
from hebbevo.objectives.pareto import Points
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
    """

    def __init__(self, ledger: Ledger) -> None:
        self.trials = self.copies = self.stopped = self.failed = 0
        self._front: list[_Point] = []
        self._best: tuple[tuple[float, ...], _Point] | None = None  # of one objective, with its rank
        self._epochs = ledger.spec.task.epochs
        self._task = ledger.spec.task
        self._count = ledger.spec.count
        self._goal = ledger.spec.goal
        self._facts = ledger.facts

    def add(self, results: Sequence[Result]) -> None:
        """Count results that have not been counted before."""
        self.trials += len(results)
        self.copies += sum(result.details.copy_of is not None for result in results)
        self.stopped += sum(result.details.stopped is not None for result in results)
        self.failed += sum(result.details.failure is not None for result in results)
        reached = [
            _Point(point.epoch < self._epochs, result.number, point.epoch, point.values)
            for result in results
            for point in epoch_results(result, self._epochs)
            if works(point, result.details, self._facts.chance)
        ]
        feasible = [point for point in reached if self._goal.violation(point.values) <= 0]
        candidates = sorted([*self._front, *feasible])  # of equal points the first one is taken
        self._front = [candidates[row] for row in front_rows(self._traded(candidates))]
        if self._goal.dimension == 1:
            ranked = [(self._rank(point), point) for point in feasible if not point.is_before_end]
            self._best = min([*ranked, *([self._best] if self._best else [])], default=None)

    @property
    def front(self) -> Points:
        """The measures that the goal trades off, of every point on the front, (n, measures)."""
        return self._traded(self._front)

    @property
    def members(self) -> set[tuple[int, int]]:
        """Trial and epoch of every point on the front, and of the best trial of one objective."""
        points = [*self._front, *([self._best[1]] if self._best else [])]
        return {(point.trial, point.epoch) for point in points}

    @property
    def best_loss(self) -> float | None:
        """The least loss of a trial after its last epoch, in a study with one objective."""
        return self._best[0][0] if self._best else None

    @property
    def reached(self) -> str:
        """The best accuracy so far, and the fewest survivors with at most 0.05 less, in words.

        Empty before the first result, and if all trials failed.
        """
        if not len(self.front):
            what = "beats chance" if not self._goal.constraints else "meets the constraints"
            return f"no network {what} yet" if self.trials > self.failed else ""
        accuracy, survivors = self.front.T[:2]
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
        return pareto.hypervolume(self.front, self._facts.chance, self._facts.largest(self._goal))

    def _traded(self, points: Sequence[_Point]) -> Points:
        measures = len(self._goal.traded)
        return np.array([point.values[:measures] for point in points], dtype=float).reshape(-1, measures)

    def _rank(self, point: _Point) -> tuple[float, ...]:
        """Of the trials with one objective the first one is the best; see `Study.best`."""
        accuracy, survivors, *_ = point.values
        return (*self._goal.losses(point.values), -accuracy, survivors)


class _Point(NamedTuple):
    """A point that may be on the front; sorted as points on it are preferred among equal ones."""

    is_before_end: bool
    trial: int
    epoch: int
    values: tuple[float, ...]
