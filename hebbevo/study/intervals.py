"""Means with their intervals, and the expected value of the best of several networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""How often an interval holds the true mean."""


class Mean(NamedTuple):
    """A mean over replicates.

    Attributes:
        value: the mean.
        sd: standard deviation of a single replicate.
        low: lower end of the interval of the mean.
        high: upper end.
    """

    value: float
    sd: float
    low: float
    high: float


NO_MEAN = Mean(math.nan, math.nan, math.nan, math.nan)
"""The mean of what was not measured."""


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of independent measurements with Student's t interval; NaN where one of them is NaN.

    >>> [round(each, 3) for each in mean_of([0.9, 0.92, 0.94])]
    [0.92, 0.02, 0.87, 0.97]

    Args:
        values: the measurements; of a single one only the mean is known.
    """
    from scipy.stats import t

    if not len(values):
        return NO_MEAN
    value = float(np.mean(values))
    if len(values) < 2:
        return Mean(value, math.nan, math.nan, math.nan)
    sd = float(np.std(values, ddof=1))
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * sd / math.sqrt(len(values))
    return Mean(value, sd, value - half, value + half)


def best_of(k: int, selection: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """The value of the network that has the best selection score of k, over all k-subsets of a pool.

    It is computed from ranks and not by drawing subsets: a network is the best of a subset if all others in
    it rank lower. Of networks that tie, each is taken equally often.

    >>> [round(each, 3) for each in best_of(2, selection=[0.1, 0.2, 0.3], values=[1.0, 2.0, 6.0])]
    [4.667, 1.886]

    Args:
        k: size of a subset, from 1 to the size of the pool.
        selection: by which the best is selected.
        values: what counts.

    Returns:
        Mean and standard deviation over the subsets.
    """
    weights = _shares_of_subsets(k, np.asarray(selection, float))
    counted = np.asarray(values, float)
    mean = float(weights @ counted)
    return mean, math.sqrt(float(weights @ (counted - mean) ** 2))


def _shares_of_subsets(k: int, selection: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each network of a pool, the share of the k-subsets of which it is the best."""
    size, weights = len(selection), np.zeros(len(selection))
    for score in np.unique(selection):
        equal, better = selection == score, int((selection > score).sum())
        ties = int(equal.sum())
        won = comb(size - better, k) - comb(size - better - ties, k)
        weights[equal] = won / comb(size, k) / ties
    return weights
