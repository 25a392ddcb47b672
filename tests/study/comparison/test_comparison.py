"""A comparison as a whole: its tables, what it refuses, and what it says."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from hebbevo.errors import StudyError, UsageError
from hebbevo.study.comparison import compare
from hebbevo.study.view import Study
from tests.study.comparison.conftest import GA, RANDOM, made_up, searched, study_of

CHANCE, NEURONS = 0.1, 100
NAMES = ["sampler ga", "sampler random"]


def area(points, chance=CHANCE, neurons=NEURONS):
    """The hypervolume by its definition: cell by cell of the grid that the points span."""
    accuracies = sorted({chance, *(accuracy for accuracy, _ in points)})
    shares = sorted({1.0, *(survivors / neurons for _, survivors in points)})
    covered = sum(
        (high - low) * (right - left)
        for low, high in itertools.pairwise(accuracies)
        for left, right in itertools.pairwise(shares)
        if any(a >= high and s / neurons <= left for a, s in points)
    )
    return covered / (1 - chance)


@pytest.fixture(scope="module")
def both():
    return compare([*searched("ga", GA), *searched("random", RANDOM)])


def test_every_study_has_its_hypervolume(both):
    studies = both.studies()
    assert studies["group"].to_list() == [name for name in NAMES for _ in range(5)]
    assert studies["seed"].to_list() == [0, 1, 2, 3, 4] * 2
    assert studies["trials"].to_list() == studies["total"].to_list() == [2] * 10
    assert studies["front"].to_list() == [2] * 5 + [1] * 5
    expected = [area(points) for points in (*GA.values(), *RANDOM.values())]
    assert studies["hypervolume"].to_list() == pytest.approx(expected)
    assert studies["confirmed"].isna().all()


def test_a_group_has_the_mean_of_its_studies_and_the_interval_of_student(both):
    for row, points in zip(both.table().to_dict("records"), (GA, RANDOM), strict=True):
        values = [area(own) for own in points.values()]
        low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
        assert row["studies"] == 5
        assert row["hypervolume"] == pytest.approx(np.mean(values))
        assert (row["hypervolume_low"], row["hypervolume_high"]) == pytest.approx((low, high))


def test_groups_with_the_same_seeds_are_paired(both):
    [row] = both.pairs().to_dict("records")
    values = [[area(own) for own in points.values()] for points in (GA, RANDOM)]
    assert (row["first"], row["second"], row["measure"], row["paired_seeds"]) == (*NAMES, "found", 5)
    assert row["difference"] == pytest.approx(np.mean(values[0]) - np.mean(values[1]))
    assert row["t_p"] == row["t_holm"] == pytest.approx(stats.ttest_rel(*values).pvalue)
    assert row["rank_p"] == row["rank_holm"] == row["least_rank_p"] == 2 / 2**5


def test_the_median_surfaces_lead_where_they_are_above_each_other(both):
    rows = both.leads().to_dict("records")
    assert [(row["above"], row["start"], row["end"], row["at"]) for row in rows] == [
        ("sampler ga", 8.0, math.inf, 20.0)
    ]
    assert rows[0]["difference"] == pytest.approx(0.92 - CHANCE)
    surfaces = both.attainment()
    median = surfaces[(surfaces["group"] == "sampler random") & (surfaces["surface"] == "median")]
    assert median[["survivors", "accuracy"]].to_numpy().tolist() == [[25.0, pytest.approx(0.874)]]


def test_the_tables_are_copies(both):
    for table in (both.studies, both.table, both.pairs, both.leads, both.attainment):
        before, changed = table(), table()
        changed[changed.columns[-1]] = 7
        assert table().equals(before)


def test_groups_can_be_named_and_then_hold_any_studies():
    mixed = compare({"mine": searched("ga", GA)[:2] + searched("random", RANDOM)[2:]})
    assert mixed.table()["group"].to_list() == ["mine"]
    assert mixed.studies()["seed"].to_list() == [0, 1, 2, 3, 4]
    beside = compare({"mine": searched("ga", GA)}, others=searched("random", RANDOM))
    assert beside.table()["group"].to_list() == ["mine", "made-up"]


def test_studies_are_opened_from_their_files(samplers):
    found = compare([samplers / f"{name}-{seed}.db" for name in ("ga", "random") for seed in (0, 1)])
    assert found.table()["group"].to_list() == NAMES
    assert found.pairs()["paired_seeds"].to_list() == [2]


def test_all_hypervolumes_are_measured_from_the_largest_network():
    small, large = searched("ga", GA), searched("random", RANDOM, neurons=200)
    found = compare([*small, *large])
    assert found.neurons == 200
    assert found.studies()["hypervolume"][0] == pytest.approx(area(GA[0], neurons=200))
    assert "the largest networks differ in size; all are measured from 200 neurons" in found.remarks


def test_confirmed_fronts_are_compared_as_well():
    ga = searched("ga", GA, confirmed={0: [0.88, 0.9, 0.92]})
    random = searched("random", RANDOM, confirmed={0: [0.83, 0.86]})
    found = compare([*ga, *random])
    assert found.studies()["confirmed"].to_list() == pytest.approx(
        [area([(0.9, 20)])] * 5 + [area([(0.845, 20)])] * 5
    )
    assert found.pairs()["measure"].to_list() == ["found", "confirmed"]
    assert "has the largest confirmed hypervolume" in found.sentence
    partly = compare([*ga, *searched("random", RANDOM)])
    assert partly.pairs()["measure"].to_list() == ["found"]
    assert partly.table()["confirmed"].isna().to_list() == [False, True]
    assert "has the largest found hypervolume" in partly.sentence


def test_a_confirmed_study_with_more_trials_since_is_named():
    older = made_up([(0.9, 20.0)], confirmed={0: [0.9, 0.91]})
    newer = made_up([(0.9, 20.0), (0.91, 20.0)], Path("stale.db"))
    stale = Study(replace(newer, confirmed=older.confirmed))
    remarks = compare([study_of([(0.9, 20.0)], "whole.db"), stale]).remarks
    assert "stale.db: has more trials than when it was confirmed" in remarks


def test_remarks_name_studies_that_lack_trials_and_too_few_seeds(both):
    assert both.remarks == (
        "few seeds: the p of the Wilcoxon test cannot be below 0.062 for sampler ga and sampler random",
    )
    short = study_of([(0.9, 20.0)], "short.db", total=500)
    remarks = compare([short, study_of([(0.9, 20.0)], "whole.db")]).remarks
    assert remarks[0] == "short.db: has 1 of its 500 trials"


def test_a_study_without_points_has_no_hypervolume_and_attains_nothing():
    found = compare([study_of([], "empty.db"), study_of([(0.9, 20.0)], "one.db", seed=1)])
    assert found.studies()["hypervolume"].to_list() == pytest.approx([0.0, area([(0.9, 20.0)])])
    assert found.attainment()["surface"].to_list() == ["best", "median"]


@pytest.mark.parametrize("studies", [[], ["one"], {}, {"mine": ["one"]}])
def test_fewer_than_two_studies_are_refused(studies):
    one = study_of([(0.9, 20.0)])
    given = {name: [one] for name in studies} if isinstance(studies, dict) else [one] * len(studies)
    with pytest.raises(UsageError, match="fewer than two studies"):
        compare(given)


def test_a_study_that_is_there_twice_is_refused(samplers):
    path = samplers / "ga-0.db"
    with pytest.raises(UsageError, match=r"ga-0\.db: is there twice; give each study once"):
        compare([path, samplers / "ga-1.db", path.parent / "." / ".." / path.parent.name / "ga-0.db"])


def test_groups_without_a_study_or_with_the_name_of_another_are_refused():
    ga, random = searched("ga", GA), searched("random", RANDOM)
    with pytest.raises(UsageError, match="group mine: has no study; give it one"):
        compare({"mine": [], "other": ga})
    with pytest.raises(UsageError, match="group made-up: another group has this name"):
        compare({"made-up": ga}, others=random)


def test_studies_that_cannot_be_compared_are_refused():
    with pytest.raises(StudyError, match="cannot be compared with"):
        compare([*searched("ga", GA), *searched("random", RANDOM, fingerprint="other")])


def test_a_notebook_shows_the_sentence_and_the_groups_as_text():
    studies = {"<b>a</b>\x1b": searched("ga", GA), "b": searched("random", RANDOM)}
    html = compare(studies)._repr_html_()
    assert "&lt;b&gt;a&lt;/b&gt;" in html and "<b>" not in html and "\x1b" not in html
    assert "<td>0.7" in html
    assert repr(compare(studies)).startswith("Comparison(")
