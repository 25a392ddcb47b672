"""Which network of a front to take: the best, the smallest within its noise, and the knee."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hebbevo.study.view import Study

_POINT = 0.01
"""The noise of a score that is not known, as one percentage point."""


@dataclass(frozen=True)
class Noise:
    """How much the score of one network varies by chance alone.

    Attributes:
        size: one standard error of the best network's score.
        source: where it comes from, in words.
    """

    size: float
    source: str


@dataclass(frozen=True)
class Choices:
    """The networks of a front that a person may want, as places (row numbers) in its table.

    Attributes:
        best: the most accurate one.
        small: the smallest one whose score is within the noise of the best.
        knee: where the front bends most; ``None`` on a front of fewer than three.
        noise: that noise.
    """

    best: int
    small: int
    knee: int | None
    noise: Noise


def choose(scores: pd.Series[float], survivors: pd.Series[float], noise: Noise) -> Choices:
    """Choose the networks of a front that a person may want.

    The smallest one within a standard error of the best is the usual one-standard-error rule (Breiman et al.,
    1984). The knee is farthest from the line between the two ends of the front, where both the scores and the
    logarithms of survivors are scaled to a range of 1.

    >>> choose(pd.Series([0.5, 0.9, 0.95, 0.96]), pd.Series([2, 4, 30, 200]), Noise(0.02, "")).small
    2

    Args:
        scores: of the networks on the front, by survivors ascending.
        survivors: likewise.
        noise: of the best score.
    """
    values = scores.to_numpy(float)
    best = int(values.argmax())
    small = int(np.flatnonzero(values >= values[best] - noise.size)[0])
    return Choices(best, small, _knee(values, survivors.to_numpy(float)), noise)


def found_noise(study: Study, points: pd.DataFrame) -> Noise:
    """The noise of the best score on a front as it was found."""
    best = points.iloc[int(points["accuracy"].to_numpy().argmax())]
    replicates, rows = study.settings["search"]["replicates"], study.rows.get("validation", 0)
    if replicates > 1 and best["accuracy_sd"] > 0:
        return Noise(
            float(best["accuracy_sd"]) / math.sqrt(replicates),
            f"one standard error over {replicates} replicates",
        )
    share = float(best["accuracy"])
    if study.in_percent and rows and 0 < share < 1:
        return Noise(math.sqrt(share * (1 - share) / rows), f"one standard error of {rows:,} validation rows")
    return Noise(_POINT, "one percentage point" if study.in_percent else f"{_POINT}")


def confirmed_noise(members: pd.DataFrame, replicates: int) -> Noise:
    """The noise of the best score on a confirmed front."""
    best = members.iloc[int(members["confirmed_accuracy"].to_numpy().argmax())]
    sd = 0.0 if math.isnan(best["confirmed_sd"]) else float(best["confirmed_sd"])
    return Noise(sd / math.sqrt(max(replicates, 1)), f"one standard error over {replicates} trainings")


def _knee(scores: np.ndarray, survivors: np.ndarray) -> int | None:
    if len(scores) < 3 or np.ptp(scores) == 0 or np.ptp(survivors) == 0:
        return None
    x = np.log(np.maximum(survivors, 0.5))
    x, y = (x - x.min()) / np.ptp(x), (scores - scores.min()) / np.ptp(scores)
    return int((y - x).argmax())
