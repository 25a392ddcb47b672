"""Intervals against scipy and by simulation, and the best of several networks against all subsets."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from hebbevo.study.intervals import best_of, mean_of


def test_the_interval_of_a_mean_is_that_of_scipys_t_test() -> None:
    values = [0.91, 0.94, 0.9, 0.955]
    found = mean_of(values)
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-12)
    assert (found.value, found.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)), rel=1e-12)


def test_the_interval_of_paired_differences_is_that_of_scipys_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    members, controls = rng.normal(0.9, 0.02, (2, 5))
    interval = stats.ttest_rel(members, controls).confidence_interval(0.95)
    found = mean_of(members - controls)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-12)


def test_a_single_value_has_no_interval_and_a_missing_one_no_mean() -> None:
    assert mean_of([0.5]).value == 0.5
    assert np.isnan(mean_of([0.5]).low)
    assert np.isnan(mean_of([0.5, np.nan, 0.7])).all()
    assert np.isnan(mean_of([])).all()


def test_95_of_100_intervals_hold_the_true_mean() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0.6, 0.99, 5000)
    scores = rng.normal(true[:, None], rng.uniform(0.002, 0.1, (5000, 1)), (5000, 5))
    intervals = [mean_of(each) for each in scores]
    covered = np.mean([each.low <= mean <= each.high for each, mean in zip(intervals, true, strict=True)])
    assert 0.94 < covered < 0.96


def by_all_subsets(k: int, selection: list[float], values: list[float]) -> tuple[float, float]:
    found, weights = [], []
    for subset in combinations(range(len(values)), k):
        top = max(selection[each] for each in subset)
        best = [each for each in subset if selection[each] == top]
        found += [values[each] for each in best]
        weights += [1 / len(best)] * len(best)
    mean = np.average(found, weights=weights)
    return mean, np.sqrt(np.average((np.array(found) - mean) ** 2, weights=weights))


@pytest.mark.parametrize("k", range(1, 8))
@pytest.mark.parametrize("levels", [1, 2, 3, 100])
def test_the_best_of_k_is_the_mean_over_all_subsets_where_ties_share(k: int, levels: int) -> None:
    rng = np.random.default_rng(k)
    selection = (rng.integers(levels, size=7) / levels).tolist()
    values = rng.uniform(size=7).tolist()
    assert best_of(k, selection, values) == pytest.approx(by_all_subsets(k, selection, values))
