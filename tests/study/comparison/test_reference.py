"""Which studies can be compared, and from where hypervolumes are measured."""

import itertools

import pytest

from hebbevo.errors import StudyError
from hebbevo.study.comparison.reference import common_reference
from tests.study.comparison.conftest import study_of

POINTS = [(0.9, 20.0)]
COUNT = itertools.count()
GROUPS = {"task": {"dataset": "patients.csv", "target": "y", "split": {"groups": "patient"}}}
ROWS = {"train": 100, "validation": 20, "test": 20}


def study(**given):
    return study_of(POINTS, f"{next(COUNT)}.db", **given)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"fingerprint": "other"}, "the data set digits was another one"),
        (
            {"fingerprint": "other", "settings": {"task": {"dataset": "mnist"}}},
            "the data set is mnist, not digits",
        ),
        ({"rows": {"train": 1259, "validation": 270, "test": 269}}, "it has 270 validation rows, not 269"),
        ({"chance": 0.2}, "chance is 0.2, not 0.1"),
        ({"settings": {"task": {"score": "balanced_accuracy"}}}, "the score is balanced_accuracy, not"),
        (
            {"settings": {"network": {"count": "connections"}}},
            "survivors are connections, not neurons",
        ),
        (
            {"settings": {"objectives": {"accuracy": "maximize"}}},
            "the objectives are highest accuracy, not highest accuracy, fewest survivors",
        ),
        (
            {"settings": {"constraints": {"survivors": {"max": 40}}}},
            "the constraints are survivors at most 40, not none",
        ),
    ],
)
def test_studies_measured_in_other_ways_are_refused_in_one_line(given, what):
    with pytest.raises(StudyError) as caught:
        common_reference([study(), study(seed=1, **given)])
    message = str(caught.value)
    assert what in message and "\n" not in message
    assert message.endswith("; compare studies of the same data and objectives")


def test_all_that_differs_is_named():
    with pytest.raises(StudyError, match=r"the data set digits was another one; it has .*; chance is "):
        common_reference([study(), study(fingerprint="other", rows=ROWS, chance=0.5)])


def test_the_largest_network_of_all_is_the_reference():
    reference = common_reference([study(), study(neurons=256), study(neurons=64)])
    assert (reference.chance, reference.largest) == (0.1, (256,))


def test_where_groups_of_rows_stay_together_other_seeds_have_other_rows_and_another_chance():
    one = study(settings=GROUPS)
    other = study(settings=GROUPS, seed=1, rows=ROWS, chance=0.3)
    assert common_reference([one, other]).chance == 0.3
    with pytest.raises(StudyError, match="it has 20 validation rows, not 269"):
        common_reference([one, other, study(settings=GROUPS, rows=ROWS, chance=0.3)])
    with pytest.raises(StudyError, match="what decides the split is groups patient, not none"):
        common_reference([study(), other])


def test_of_the_earliest_studies_the_name_of_the_data_is_compared():
    old = {"fingerprint": "", "rows": {}}
    assert common_reference([study(), study(**old)]).chance == 0.1
    with pytest.raises(StudyError, match="the data set is mnist, not digits"):
        common_reference([study(), study(**old, settings={"task": {"dataset": "mnist"}})])
