"""The axis of a score: what one chooses from lies between 90 and 99 %, a squeezed eighth of a linear axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hebbevo.study.scale import scale
from hebbevo.study.view import Study

_STEPS, _FINE_STEPS = (1.0, 0.5, 0.2), (1.0, 0.7, 0.5, 0.4, 0.3, 0.2, 0.15)  # of mistakes, in each decade
_FEWEST = 5  # labels for which those of the fine steps are not needed
_FACTOR = 4.0  # between the most and the least mistakes of a logarithmic axis: from chance, 10 %, to 78 %
_WORST = 0.5  # of a score without a lowest value: how far below chance the axis begins, in (best - chance)


@dataclass(frozen=True)
class ScoreScale:
    """The scale of an axis of scores: of equal height for each halving of the mistakes, or linear.

    >>> axis = ScoreScale(0.01, 0.0, 2.0)
    >>> axis.place([0.9, 0.99, 1.0]).round(6).tolist()
    [1.0, 2.0, 2.0]

    Attributes:
        least: smallest share of mistakes that has a place of its own; 0 for a linear axis.
        low: place at its lower end.
        high: place at its upper end.
        has_whole: whether a score of 1 is shown, at the place of the least mistakes.
    """

    least: float
    low: float
    high: float
    has_whole: bool = False

    def place(self, scores: ArrayLike) -> NDArray[np.float64]:
        """The places at which scores are drawn."""
        values = np.asarray(scores, dtype=float)
        return 0.0 - np.log10(np.maximum(1.0 - values, self.least)) if self.least else values

    def bars(self, scores: ArrayLike, lows: ArrayLike, highs: ArrayLike) -> NDArray[np.float64]:
        """Lengths (2, n) of the bars of n scores, down to their lower ends and up to their upper ones.

        A bar whose end is NaN has no length.
        """
        middle, low, high = (np.asarray(each, dtype=float) for each in (scores, lows, highs))
        lengths = np.stack([self.place(middle) - self.place(low), self.place(high) - self.place(middle)])
        return np.maximum(np.nan_to_num(lengths), 0.0)

    def ticks(self, apart: float = 0.04) -> list[tuple[float, str]]:
        """Places and labels: 0, 50, 80, 90, 95, 98, 99 % and so on, or finer; none for a linear axis.

        Args:
            apart: least distance of two labels, as a share of the axis; of nearer ones the upper stays.
        """
        if not self.least:
            return []
        coarse = self._ticks(_STEPS, apart)
        return coarse if len(coarse) >= _FEWEST else self._ticks(_FINE_STEPS, apart)

    def _ticks(self, steps: Sequence[float], apart: float) -> list[tuple[float, str]]:
        every = (step * 10.0**-decade for decade in range(5) for step in steps)
        errors = [error for error in every if error > self.least * 0.999]
        ticks = [(float(self.place(1.0 - error)), f"{100 - 100 * error:.6g} %") for error in errors]
        if self.has_whole:
            ticks.append((float(self.place(1.0)), "100 %"))
        kept: list[tuple[float, str]] = []
        for place, text in reversed(ticks):
            above = kept[-1][0] if kept else math.inf
            if self.low <= place <= self.high and above - place >= apart * (self.high - self.low):
                kept.append((place, text))
        return kept[::-1]


def score_scale(study: Study, scores: Iterable[float] = ()) -> ScoreScale:
    """Choose the axis that shows the scores of all trials, of the front, chance, and these.

    Accuracies whose mistakes span a factor of four get an axis of mistakes. Another score gets a linear one,
    which starts a little below chance, however bad the worst network is.
    """
    limits = study.goal.constraints.get("accuracy", ())
    trials = study.trials()
    complete = trials["accuracy"][trials["state"] == "complete"]
    shown = [*complete, *study.front()["accuracy"], *scores, study.chance]
    known = np.array([*shown, *(bound for bound in limits if bound is not None)], dtype=float)
    known = known[np.isfinite(known)]
    if study.in_percent and (errors := scale(1.0 - known, _FACTOR)).log:
        return ScoreScale(
            errors.zero or float((1.0 - known)[known < 1].min()),
            0.0 - float(np.log10(min(errors.high, 1.1))),
            0.0 - float(np.log10(errors.low)),
            has_whole=errors.zero > 0,
        )
    best, worst = float(known.max()), float(known.min())
    if not study.in_percent:
        worst = max(worst, study.chance - _WORST * (best - study.chance))
    margin = 0.04 * (best - worst) or 0.05
    return ScoreScale(0.0, worst - margin, best + margin)
