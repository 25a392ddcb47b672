"""Which network of a front to take: the best, the smallest within its noise, and the knee."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t

from hebbevo.study.score_scale import ScoreScale, score_scale
from hebbevo.study.view import Study

LINEAR = ScoreScale(0.0, 0.0, 1.0)
"""The axis of scores that are drawn as they are."""
_POINT = 0.01
"""The noise of a score that is not known, as one percentage point."""


@dataclass(frozen=True)
class Noise:
    """How much the score of one network varies by chance alone.

    Attributes:
        size: half the width of the 95 % interval of the best network's score.
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


def choose(
    scores: pd.Series[float], survivors: pd.Series[float], noise: Noise, axis: ScoreScale = LINEAR
) -> Choices:
    """Choose the networks of a front that a person may want.

    The smallest one within the noise is not worse than the best beyond chance. The knee is where the front
    bends most on the chart: farthest from the line between its ends, with logarithms of survivors across.

    >>> choose(pd.Series([0.5, 0.9, 0.95, 0.96]), pd.Series([2, 4, 30, 200]), Noise(0.02, "")).small
    2

    Args:
        scores: of the networks on the front, by survivors ascending.
        survivors: likewise.
        noise: of the best score.
        axis: on which the scores are drawn.
    """
    values = scores.to_numpy(float)
    best = int(values.argmax())
    small = int(np.flatnonzero(values >= values[best] - noise.size)[0])
    return Choices(best, small, _knee(axis.place(values), np.asarray(survivors, dtype=float)), noise)


def found_choices(study: Study, front: pd.DataFrame) -> Choices:
    """Choose from a front as the search has found it, as `Study.front` gives it."""
    return choose(front["accuracy"], front["survivors"], found_noise(study, front), score_scale(study))


def confirmed_choices(study: Study, front: pd.DataFrame) -> Choices:
    """Choose from a front by confirmed figures, as `confirmed_front` gives it."""
    noise = confirmed_noise(front)
    return choose(front["confirmed_accuracy"], front["confirmed_survivors"], noise, score_scale(study))


def confirmed_front(members: pd.DataFrame) -> pd.DataFrame:
    """The confirmed members that no other one beats in confirmed figures, by confirmed survivors ascending.

    Where no member beats chance, these are all members that were trained.

    Args:
        members: as `Confirmation.members` gives them.
    """
    known = members[members["confirmed_accuracy"].notna() & members["confirmed_survivors"].notna()]
    front = known[known["on_front"]] if known["on_front"].any() else known
    return front.sort_values("confirmed_survivors", kind="stable").reset_index(drop=True)


def found_noise(study: Study, points: pd.DataFrame) -> Noise:
    """The noise of the best score on a front as it was found."""
    best = points.iloc[int(points["accuracy"].to_numpy().argmax())]
    replicates, rows = study.settings["search"]["replicates"], study.rows.get("validation", 0)
    if replicates > 1 and best["accuracy_sd"] > 0:
        size = _half_width(float(best["accuracy_sd"]), replicates)
        return Noise(size, f"the 95 % interval over {replicates} replicates")
    share = float(best["accuracy"])
    if study.in_percent and rows and 0 < share < 1:
        size = 1.96 * math.sqrt(share * (1 - share) / rows)
        return Noise(size, f"the 95 % interval of a share of {rows:,} validation rows")
    return Noise(_POINT, "the usual size of noise")


def confirmed_noise(members: pd.DataFrame) -> Noise:
    """The noise of the best score on a confirmed front: from its mean to the lower end of its interval."""
    best = members.iloc[int(members["confirmed_accuracy"].to_numpy().argmax())]
    size = float(best["confirmed_accuracy"] - best["confirmed_low"])
    return Noise(0.0 if math.isnan(size) else size, "the 95 % interval of its mean")


def _half_width(sd: float, replicates: int) -> float:
    """Half the width of the 95 % interval of a mean."""
    return float(t.ppf(0.975, replicates - 1)) * sd / math.sqrt(replicates)


def _knee(heights: NDArray[np.float64], survivors: NDArray[np.float64]) -> int | None:
    if len(heights) < 3 or np.ptp(heights) == 0 or np.ptp(survivors) == 0:
        return None
    x = np.log(np.maximum(survivors, 0.5))
    x, y = (x - x.min()) / np.ptp(x), (heights - heights.min()) / np.ptp(heights)
    return int((y - x).argmax())
