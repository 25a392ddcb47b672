"""Collects the weights of a cohort while it trains: a front also has networks of earlier epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from safetensors import SafetensorError
from torch import Tensor

from hebbevo.training.cohort import CohortTraining
from hebbevo.training.keeping import Keeping, beats
from hebbevo.training.recipe import Measurement
from hebbevo.training.replicates import median_replicate
from hebbevo.training.scoring import score
from hebbevo.training.weights import packed

MOST_BYTES = 512 * 2**20
"""Memory for weights that may be kept. Beyond it the oldest are dropped, and export trains them again."""


@dataclass(frozen=True)
class _Replicates:
    """The replicates of a trial that train in one stack.

    Attributes:
        places: their numbers in the stack.
        rows: their numbers in the cohort.
        is_whole: whether these are all replicates of the trial.
    """

    places: tuple[int, ...]
    rows: tuple[int, ...]
    is_whole: bool


class WeightCollector:
    """Takes copies of weights after each epoch, and at the end packs those that may be on the front.

    Training does not depend on it. A trial that has trained in several stacks is judged at the end.

    Args:
        keeping: what a network must reach.
        trials: for each network of the cohort, what identifies its trial.
        epochs: epochs of a whole training.
    """

    def __init__(self, keeping: Keeping, trials: Sequence[object], epochs: int) -> None:
        self._keeping = keeping
        self._epochs = epochs
        self._rows: dict[object, list[int]] = {}
        for row, trial in enumerate(trials):
            self._rows.setdefault(trial, []).append(row)
        self._trials = trials
        self._states: dict[tuple[int, int], dict[str, Tensor]] = {}  # by row and epoch
        # by the first row of a trial and its counts
        self._latest: dict[tuple[int, tuple[float, ...]], tuple[int, int]] = {}
        self._bytes = 0

    def after_epoch(self, cohort: CohortTraining, rows: Sequence[int]) -> None:
        """Take copies of the weights that may be kept.

        Args:
            cohort: networks in training, just measured.
            rows: the number of each in the cohort.
        """
        reached, epoch = cohort.reached, cohort.epoch
        wanted: list[int] = []
        for own in self._replicates(rows):
            if not all(place in reached and math.isfinite(reached[place][0]) for place in own.places):
                continue
            if not own.is_whole:
                wanted += own.places
                continue
            accuracies, *counts = zip(*(reached[place] for place in own.places), strict=True)
            size = tuple(map(fmean, counts))
            # of the epochs with equal counts the last one counts
            self._forget(self._latest.pop((own.rows[0], size), None))
            if self._keeping.admits((fmean(accuracies), *size), epoch == self._epochs):
                middle = median_replicate(accuracies)
                wanted.append(own.places[middle])
                self._latest[own.rows[0], size] = own.rows[middle], epoch
        for place, state in cohort.states(wanted).items():
            self._states[rows[place], epoch] = state
            self._bytes += _bytes(state)
        while self._bytes > MOST_BYTES:
            self._forget(next(iter(self._states)))

    def forget_rows(self, rows: Sequence[int]) -> None:
        """Drop what was taken of networks whose training begins anew."""
        for key in [key for key in self._states if key[0] in rows]:
            self._forget(key)
        first = {self._rows[self._trials[row]][0] for row in rows}
        self._latest = {key: taken for key, taken in self._latest.items() if key[0] not in first}

    def attached(self, measured: Sequence[Measurement]) -> list[Measurement]:
        """Give the measurements of the cohort with the weights that may be kept, each at its replicate."""
        found = list(measured)
        for own in self._rows.values():
            replicates = [measured[row] for row in own]
            for epoch in self._candidates(replicates):
                middle = median_replicate([each.accuracy[epoch - 1] for each in replicates])
                row = own[middle]
                if (state := self._states.get((row, epoch))) is None:
                    continue
                try:
                    weights = packed(state)
                except SafetensorError:  # the training again is left to export
                    continue
                found[row] = replace(found[row], weights={**found[row].weights, epoch: weights})
        return found

    def _candidates(self, replicates: Sequence[Measurement]) -> list[int]:
        """The epochs after which a trial may be on the front."""
        details = score(replicates).details
        further = details.further_per_epoch.values()
        states = zip(details.accuracy_per_epoch, details.survivors_per_epoch, *further, strict=True)
        points = {each[1:]: (epoch, each[0]) for epoch, each in enumerate(states, start=1)}
        traded = len(self._keeping.goal.traded)
        reached = [(accuracy, *counts)[:traded] for counts, (_, accuracy) in points.items()]
        found = []
        for counts, (epoch, accuracy) in points.items():
            values, is_last = (accuracy, *counts), epoch == self._epochs
            # the best trial of one objective is never an earlier epoch
            is_candidate = is_last and self._keeping.goal.dimension == 1
            if self._keeping.admits(values, is_last) and (
                is_candidate or not any(beats(other, values[:traded]) for other in reached)
            ):
                found.append(epoch)
        return found

    def _replicates(self, rows: Sequence[int]) -> list[_Replicates]:
        places: dict[object, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(self._trials[row], []).append(place)
        return [
            _Replicates(tuple(own), tuple(rows[place] for place in own), len(own) == len(self._rows[trial]))
            for trial, own in places.items()
        ]

    def _forget(self, key: tuple[int, int] | None) -> None:
        if key is not None and (state := self._states.pop(key, None)) is not None:
            self._bytes -= _bytes(state)


def _bytes(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in state.values())
