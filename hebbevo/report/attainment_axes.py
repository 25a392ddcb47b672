"""The axes on which attainment surfaces are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hebbevo.report.scale import Scale, scale
from hebbevo.study.comparison import Comparison

_MISTAKES = tuple(step * 10.0**-decade for decade in range(5) for step in (1.0, 0.5, 0.2))


@dataclass(frozen=True)
class AttainmentAxes:
    """The axes of a chart of attainment surfaces.

    Accuracies are drawn by their share of mistakes, on a logarithmic axis: those one chooses from, from 90 to
    99 %, would share an eighth of a linear one. Another score has a linear axis.

    Attributes:
        survivors: the axis of survivors.
        least: smallest share of mistakes that has a place of its own; 0 for a linear axis of the score.
        low: place at the lower end of the axis of scores.
        high: place at its upper end.
    """

    survivors: Scale
    least: float
    low: float
    high: float

    def place(self, scores: ArrayLike) -> NDArray[np.float64]:
        """The height at which scores are drawn, upwards."""
        values = np.asarray(scores, dtype=float)
        return -np.log10(np.maximum(1.0 - values, self.least)) if self.least else values

    def ticks(self) -> list[tuple[float, str]]:
        """Heights and labels of 50, 80, 90, 95 % and so on; none for a linear axis."""
        if not self.least:
            return []
        shown = [(float(self.place(1.0 - share)), f"{100 - 100 * share:.6g} %") for share in _MISTAKES]
        return [(place, text) for place, text in shown if self.low <= place <= self.high]


def attainment_axes(comparison: Comparison) -> AttainmentAxes:
    """Choose the axes that show all surfaces."""
    surfaces = comparison.attainment()
    survivors = scale([*surfaces["survivors"], comparison.neurons])
    scores = surfaces["accuracy"].to_numpy(float)
    scores = scores if len(scores) else np.array([comparison.chance])
    mistakes = 1.0 - scores[scores < 1]
    least = 0.0
    if comparison.in_percent:
        least = (float(mistakes.min()) if len(mistakes) else 0.01) / (1.0 if scores.max() < 1 else 2.0)
    axes = AttainmentAxes(survivors, least, 0.0, 0.0)
    places = axes.place(scores)
    low, high = float(places.min()), float(places.max())
    margin = 0.04 * (high - low) or 0.05
    return replace(axes, low=low - margin, high=high + margin)


def steps(corners: pd.DataFrame, neurons: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The survivors and the scores at the corners of a surface, up to the largest network."""
    survivors = corners["survivors"].to_numpy(float)
    scores = corners["accuracy"].to_numpy(float)
    if len(survivors) and survivors[-1] < neurons:
        survivors, scores = np.append(survivors, neurons), np.append(scores, scores[-1])
    return survivors, scores
