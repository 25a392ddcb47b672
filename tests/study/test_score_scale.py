"""The axis of a score: its labels."""

import itertools
import math

import pytest

from hebbevo.study.score_scale import ScoreScale


@pytest.mark.parametrize(
    ("best", "labels"),
    [
        (0.75, ["0 %", "30 %", "50 %", "60 %", "70 %"]),
        (0.906, ["0 %", "30 %", "50 %", "60 %", "70 %", "80 %", "85 %", "90 %"]),
        (0.96, ["0 %", "50 %", "80 %", "90 %", "95 %"]),
        (0.996, ["0 %", "50 %", "80 %", "90 %", "95 %", "98 %", "99 %", "99.5 %"]),
    ],
)
def test_an_axis_of_few_halvings_of_the_mistakes_has_finer_labels(best, labels):
    axis = ScoreScale(1 - best, -0.04, 0.1 - math.log10(1 - best))
    assert [text for _, text in axis.ticks()] == labels
    assert all(place == axis.place(float(text[:-2]) / 100) for place, text in axis.ticks())


def test_labels_that_would_lie_on_each_other_are_left_out():
    axis = ScoreScale(0.094, -0.04, 1.12)
    far = [place for place, _ in axis.ticks(apart=0.2)]
    assert len(far) > 2
    assert all(after - before >= 0.2 * 1.16 for before, after in itertools.pairwise(far))


def test_a_linear_axis_has_no_labels_of_its_own():
    assert ScoreScale(0.0, 0.1, 0.7).ticks() == []
