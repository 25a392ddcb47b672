"""What a comparison says in words."""

from hebbevo.study.comparison import compare
from tests.study.comparison.conftest import GA, RANDOM, searched

CLOSE = {seed: [(accuracy + 0.001 * (-1) ** seed, survivors) for accuracy, survivors in points]
         for seed, points in GA.items()}  # fmt: skip


def test_a_significant_difference_is_one():
    found = compare({"first": searched("random", RANDOM), "second": searched("ga", GA)})
    assert found.sentence == (
        "second has the largest found hypervolume, 0.8089 against 0.6450 of first: "
        "+0.1639 (95 % interval +0.1617 to +0.1661) is significant "
        "(paired t-test over 5 seeds, p = 3.2e-09)."
    )


def test_a_difference_within_the_noise_of_seeds_is_not_significant():
    found = compare({"first": searched("ga", GA), "second": searched("close", CLOSE, total=9)})
    assert found.sentence.startswith("second has the largest found hypervolume, ")
    assert "is not significant (paired t-test over 5 seeds, p = 0." in found.sentence


def test_other_seeds_are_not_paired():
    later = {seed + 10: points for seed, points in RANDOM.items()}
    found = compare({"first": searched("ga", GA), "second": searched("later", later)})
    assert "is significant (Welch's t-test, p = " in found.sentence


def test_of_several_groups_the_best_is_told_apart_from_each_other_one():
    groups = {
        "first": searched("ga", GA),
        "close": searched("close", CLOSE),
        "far, away": searched("random", RANDOM),
    }
    assert compare(groups).sentence == (
        "close has the largest found hypervolume, 0.8091: the difference from far, away is significant; "
        "the difference from first is not significant (p corrected for 3 pairs)."
    )


def test_several_differences_of_one_kind_are_named_together():
    groups = {"best": searched("ga", GA), "far": searched("random", RANDOM), "off": searched("off", RANDOM)}
    assert compare(groups).sentence.endswith(
        ": the differences from far and off are significant (p corrected for 3 pairs)."
    )


def test_one_study_a_group_is_too_few_for_a_test():
    found = compare({"a": searched("ga", GA)[:1], "b": searched("random", RANDOM)[:1]})
    assert found.sentence == (
        "a has the largest found hypervolume, 0.7911 against 0.6250 of b; too few studies for a test: "
        "give each group two or more, with other seeds."
    )


def test_a_single_group_has_its_mean_and_interval():
    assert compare(searched("ga", GA)).sentence == (
        "The 5 studies of made-up have a mean found hypervolume of 0.8089 (95 % interval 0.7914 to 0.8263)."
    )
