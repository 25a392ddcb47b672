"""Attainment surfaces: what accuracy repeated searches reach with how many survivors.

A search attains (accuracy, survivors) if a point of its front is as accurate with as few survivors. The
surface of level k is the border of what at least k of the searches attain (Fonseca and Fleming, 1996).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hebbevo.objectives.pareto import Points

_LEAST = 1e-12  # a difference in accuracy that is rounding


def surface(fronts: Sequence[Points], level: int) -> Points:
    """Find the surface that at least ``level`` of the fronts attain.

    >>> fronts = [np.array([[0.9, 10.0]]), np.array([[0.8, 20.0]])]
    >>> surface(fronts, 1).tolist(), surface(fronts, 2).tolist()
    ([[0.9, 10.0]], [[0.8, 20.0]])

    Args:
        fronts: points of each search, shape (n, 2) with accuracy and survivors; n may be 0.
        level: from 1, the best surface, to the number of fronts, the worst one.

    Returns:
        The corners of the surface, shape (k, 2), by survivors ascending; none if too few have points.
    """
    some = [front for front in fronts if len(front)]
    if level > len(some):
        return np.empty((0, 2))
    sets = np.repeat(np.arange(len(some)), [len(front) for front in some])
    # moocore minimises, and rounds a percentage up to a level
    corners = moocore.eaf(
        np.concatenate(some) * [-1.0, 1.0], sets, percentiles=[100 * (level - 0.5) / len(some)]
    )
    found: Points = corners[:, :2] * [-1.0, 1.0]
    return found[np.argsort(found[:, 1])]


def median_level(count: int) -> int:
    """The level of the median surface: at least half of so many searches attain it.

    >>> median_level(5), median_level(6)
    (3, 3)
    """
    return (count + 1) // 2


def accuracy_at(corners: Points, survivors: ArrayLike, chance: float) -> NDArray[np.float64]:
    """The accuracy that a surface reaches with at most so many survivors; ``chance`` where it reaches none.

    >>> accuracy_at(np.array([[0.8, 10.0], [0.9, 20.0]]), [5, 10, 15, 99], chance=0.1).tolist()
    [0.1, 0.8, 0.8, 0.9]

    Args:
        corners: of the surface, as `surface` gives them.
        survivors: numbers of survivors.
        chance: accuracy of a guess, for which no network is needed.
    """
    places = np.searchsorted(corners[:, 1], np.asarray(survivors, dtype=float), side="right")
    return np.concatenate([[chance], np.maximum(corners[:, 0], chance)])[places]


@dataclass(frozen=True)
class Lead:
    """A range of survivors in which one surface is above another.

    Attributes:
        is_first: whether it is the first surface that is above.
        start: least number of survivors.
        end: least number of survivors above it for which it no longer holds; infinity where there is none.
        most: largest difference in accuracy in the range, above 0.
        at: least number of survivors with that difference.
    """

    is_first: bool
    start: float
    end: float
    most: float
    at: float


def leads(first: Points, second: Points, chance: float) -> list[Lead]:
    """Find where one surface is above another, by survivors ascending.

    >>> ahead, behind = leads(np.array([[0.8, 5.0]]), np.array([[0.9, 20.0]]), chance=0.1)
    >>> ahead.start, ahead.end, round(ahead.most, 3)
    (5.0, 20.0, 0.7)
    >>> behind.is_first, behind.start, behind.end
    (False, 20.0, inf)

    Args:
        first: corners of a surface, as `surface` gives them.
        second: corners of the other one.
        chance: accuracy of a guess.
    """
    starts = np.unique(np.concatenate([first[:, 1], second[:, 1]]))
    ends = [*starts[1:], math.inf]
    ahead = accuracy_at(first, starts, chance) - accuracy_at(second, starts, chance)
    ahead[np.abs(ahead) < _LEAST] = 0.0
    found = []
    for sign, run in groupby(range(len(starts)), key=lambda step: np.sign(ahead[step])):
        steps = [*run]
        if sign:
            peak = max(steps, key=lambda step: abs(ahead[step]))
            start, end, at = float(starts[steps[0]]), float(ends[steps[-1]]), float(starts[peak])
            found.append(Lead(bool(sign > 0), start, end, abs(float(ahead[peak])), at))
    return found
