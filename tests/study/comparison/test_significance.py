"""Differences of groups against scipy and against the formulas of textbooks."""

import math

import numpy as np
import pytest
from scipy import stats

from hebbevo.study.comparison.significance import contrast, holm

FIRST = [0.912, 0.931, 0.905, 0.944, 0.921, 0.917]
SECOND = [0.901, 0.925, 0.908, 0.930, 0.911, 0.899]


def seeded(values, seeds=None):
    return list(zip(seeds or range(len(values)), values, strict=True))


def test_values_of_the_same_seeds_are_paired():
    found = contrast(seeded(FIRST), seeded(SECOND))
    assert found.is_paired and found.counts == (6, 6)
    assert found.t_p == pytest.approx(stats.ttest_rel(FIRST, SECOND).pvalue)
    assert found.rank_p == pytest.approx(stats.wilcoxon(np.subtract(FIRST, SECOND)).pvalue)
    differences = np.subtract(FIRST, SECOND)
    half = stats.t.ppf(0.975, 5) * differences.std(ddof=1) / math.sqrt(6)
    assert found.difference.value == pytest.approx(differences.mean())
    assert found.difference.low == pytest.approx(differences.mean() - half)
    assert found.difference.high == pytest.approx(differences.mean() + half)


def test_pairs_are_of_seeds_and_not_of_places():
    order = [3, 0, 5, 1, 4, 2]
    shuffled = seeded([SECOND[place] for place in order], order)
    assert contrast(seeded(FIRST), shuffled) == contrast(seeded(FIRST), seeded(SECOND))


def test_of_a_larger_group_only_the_matching_seeds_are_paired():
    assert contrast(seeded(FIRST), seeded(SECOND[2:5], [2, 3, 4])) == contrast(
        seeded(FIRST[2:5]), seeded(SECOND[2:5])
    )


@pytest.mark.parametrize(
    ("seeds", "others"),
    [
        (range(6), range(10, 16)),
        (range(6), [0, 1, 2, 3, 4, 9]),  # one of the seeds has no pair
        ([0, 0, 1, 2, 3, 4], range(6)),  # which of the two belongs to the other seed 0 is not known
    ],
)
def test_values_of_other_seeds_are_not_paired(seeds, others):
    found = contrast(seeded(FIRST, seeds), seeded(SECOND, others))
    assert not found.is_paired and found.counts == (6, 6)
    assert found.t_p == pytest.approx(stats.ttest_ind(FIRST, SECOND, equal_var=False).pvalue)
    assert found.rank_p == pytest.approx(stats.mannwhitneyu(FIRST, SECOND).pvalue)


def test_the_interval_of_unpaired_groups_is_that_of_welch():
    one, other = np.array(FIRST), np.array(SECOND[:4])
    shares = [each.var(ddof=1) / len(each) for each in (one, other)]
    freedom = sum(shares) ** 2 / (shares[0] ** 2 / 5 + shares[1] ** 2 / 3)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(sum(shares))
    found = contrast(seeded(one), seeded(other, [7, 8, 9, 10])).difference
    assert (found.low, found.high) == pytest.approx(
        (one.mean() - other.mean() - half, one.mean() - other.mean() + half)
    )


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_the_least_p_is_that_of_groups_without_overlap(count):
    high, low = np.linspace(0.91, 0.99, count), np.linspace(0.5, 0.55, count)
    paired = contrast(seeded(high), seeded(low))
    assert paired.rank_p == pytest.approx(paired.least_rank_p) == pytest.approx(2.0 ** (1 - count))
    unpaired = contrast(seeded(high), seeded(low, range(100, 100 + count)))
    assert unpaired.rank_p == pytest.approx(unpaired.least_rank_p)


def test_one_study_a_group_has_a_difference_and_no_test():
    found = contrast([(0, 0.9)], [(0, 0.8)])
    assert found.difference.value == pytest.approx(0.1)
    assert math.isnan(found.difference.low) and math.isnan(found.t_p)
    assert found.least_rank_p == 1.0


@pytest.mark.parametrize("others", [range(3), range(10, 13)])
def test_values_without_any_spread_have_no_t_test(others):
    same = contrast(seeded([0.9] * 3), seeded([0.9] * 3, others))
    assert math.isnan(same.t_p) and same.rank_p == 1.0
    assert math.isnan(contrast(seeded([0.9] * 3), seeded([0.8] * 3, others)).t_p)


def test_a_group_without_spread_beside_one_with_spread_is_tested():
    found = contrast(seeded([0.9] * 3), seeded(FIRST[:3], range(10, 13)))
    assert 0 < found.t_p < 1 and found.difference.low < found.difference.high


def test_p_are_corrected_as_holm_does():
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.005), "holm")
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
    corrected = holm([0.01, math.nan, 0.04])
    assert math.isnan(corrected[1]) and [corrected[0], corrected[2]] == [0.02, 0.04]


def test_what_holm_rejects_is_what_his_steps_reject():
    random = np.random.default_rng(0)
    for _ in range(200):
        p_values = random.uniform(0, 0.2, 5).round(3)
        rejected, left = set(), 5
        for place in np.argsort(p_values, kind="stable"):
            if p_values[place] > 0.05 / left:
                break
            rejected.add(int(place))
            left -= 1
        assert {place for place, p in enumerate(holm(p_values.tolist())) if p <= 0.05 + 1e-12} == rejected
