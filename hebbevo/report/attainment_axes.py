"""The axes on which attainment surfaces are drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hebbevo.study.comparison import Comparison
from hebbevo.study.scale import Scale, scale
from hebbevo.study.score_scale import ScoreScale


def attainment_axes(comparison: Comparison) -> tuple[Scale, ScoreScale]:
    """Choose the axis of survivors and that of the score, which show all surfaces and little more."""
    surfaces = comparison.attainment()
    survivors = scale([*surfaces["survivors"], comparison.neurons])
    scores = surfaces["accuracy"].to_numpy(float)
    scores = scores if len(scores) else np.array([comparison.chance])
    least, has_whole = 0.0, bool(scores.max() >= 1)
    if comparison.in_percent:
        mistakes = 1.0 - scores[scores < 1]
        least = (float(mistakes.min()) if len(mistakes) else 0.01) / (2.0 if has_whole else 1.0)
    places = ScoreScale(least, 0.0, 0.0).place(scores)
    low, high = float(places.min()), float(places.max())
    margin = 0.04 * (high - low) or 0.05
    return survivors, ScoreScale(least, low - margin, high + margin, has_whole)


def steps(corners: pd.DataFrame, neurons: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The survivors and the scores at the corners of a surface, up to the largest network."""
    survivors = corners["survivors"].to_numpy(float)
    scores = corners["accuracy"].to_numpy(float)
    if len(survivors) and survivors[-1] < neurons:
        survivors, scores = np.append(survivors, neurons), np.append(scores, scores[-1])
    return survivors, scores
