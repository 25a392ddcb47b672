"""Which network of a front to take: the best, the smallest within its noise, and the knee."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t

from hebbevo.study.front import front_rows
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
    return _chosen(study, front, "", found_noise(study, front))


def confirmed_choices(study: Study, front: pd.DataFrame) -> Choices:
    """Choose from a front by confirmed figures, as `confirmed_front` gives it."""
    return _chosen(study, front, "confirmed_", confirmed_noise(front))


def _chosen(study: Study, front: pd.DataFrame, prefix: str, noise: Noise) -> Choices:
    """Choose by the score and the survivors alone, from the members that no other one beats in these two."""
    own = front[[f"{prefix}accuracy", f"{prefix}survivors"]]
    is_flat = len(study.goal.traded) == len(own.columns)
    places = np.arange(len(own)) if is_flat else front_rows(own.to_numpy(float))
    flat = own.iloc[places]
    found = choose(flat.iloc[:, 0], flat.iloc[:, 1], noise, score_scale(study))
    knee = None if found.knee is None else int(places[found.knee])
    return Choices(int(places[found.best]), int(places[found.small]), knee, noise)


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
