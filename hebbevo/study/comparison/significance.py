"""Whether two groups of values differ by more than noise."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hebbevo.study.intervals import CONFIDENCE, Mean, mean_of

LEVEL = 0.05
"""A difference with a p below this is called significant."""


@dataclass(frozen=True)
class Contrast:
    """The difference of two groups: the first less the second.

    Attributes:
        counts: number of values of each group that are used.
        is_paired: whether values are paired by their seeds: then the tests are the paired t-test and
            Wilcoxon's signed-rank test, and otherwise Welch's t-test and the test of Mann and Whitney.
        difference: mean of the first group less that of the second, with its interval.
        t_p: p of the t-test, two-sided; NaN where it has too few values, or values without any spread.
        rank_p: p of the rank test, two-sided; NaN where it has too few values.
        least_rank_p: the smallest p that the rank test can give with so many values.
    """

    counts: tuple[int, int]
    is_paired: bool
    difference: Mean
    t_p: float
    rank_p: float
    least_rank_p: float


def contrast(first: Sequence[tuple[int, float]], second: Sequence[tuple[int, float]]) -> Contrast:
    """Compare two groups of values.

    Values are paired where no group has a seed twice and the smaller group has only seeds of the larger one.
    Values of other seeds are then left out.

    Args:
        first: seed and value of each study of the first group, of which there is at least one.
        second: likewise, of the second group.
    """
    one, other = dict(first), dict(second)
    seeds = sorted(one.keys() & other.keys())
    unique = len(one) == len(first) and len(other) == len(second)
    if unique and len(seeds) == min(len(one), len(other)) >= 2:
        return _paired([one[seed] for seed in seeds], [other[seed] for seed in seeds])
    return _unpaired([value for _, value in first], [value for _, value in second])


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p of several tests by the method of Holm (1979); NaN counts as no test.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected, least = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * p))
        corrected[place] = least
    return corrected


def _paired(first: Sequence[float], second: Sequence[float]) -> Contrast:
    differences = np.subtract(first, second)
    n = len(differences)
    t_p = float(stats.ttest_1samp(differences, 0.0).pvalue) if _has_spread(differences) else math.nan
    rank_p = float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0
    return Contrast((n, n), True, mean_of(differences.tolist()), t_p, rank_p, 2.0 ** (1 - n))


def _unpaired(first: Sequence[float], second: Sequence[float]) -> Contrast:
    counts = len(first), len(second)
    difference = float(np.mean(first) - np.mean(second))
    rank_p = float(stats.mannwhitneyu(first, second).pvalue)
    least = min(1.0, 2 / math.comb(sum(counts), counts[0]))
    t_p, low, high = math.nan, math.nan, math.nan
    if min(counts) >= 2 and (_has_spread(first) or _has_spread(second)):
        with warnings.catch_warnings():  # scipy warns where one of the groups has no spread
            warnings.simplefilter("ignore", RuntimeWarning)
            welch = stats.ttest_ind(first, second, equal_var=False)
        t_p, (low, high) = float(welch.pvalue), map(float, welch.confidence_interval(CONFIDENCE))
    return Contrast(counts, False, Mean(difference, math.nan, low, high), t_p, rank_p, least)


def _has_spread(values: ArrayLike) -> bool:
    return float(np.ptp(values)) > 1e-12
