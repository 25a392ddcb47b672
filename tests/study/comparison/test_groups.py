"""Which studies form a group, and what the group is called."""

import itertools

from hebbevo.study.comparison.groups import grouped
from tests.study.comparison.conftest import study_of

POINTS = [(0.9, 20.0)]
COUNT = itertools.count()


def study(**given):
    return study_of(POINTS, f"{next(COUNT)}.db", **given)


def names(studies):
    return [group.name for group in grouped(studies)]


def test_studies_that_differ_in_the_seed_form_a_group():
    one, other = grouped([study(seed=3), study(seed=3, sampler="ga"), study(seed=8)])
    assert (one.seeds, other.seeds) == ((3, 8), (3,))


def test_a_group_is_named_after_the_settings_that_differ():
    assert names([study(), study(sampler="ga")]) == ["sampler random", "sampler ga"]
    replicates = {"search": {"replicates": 3}, "task": {"epochs": 5}}
    assert names([study(), study(settings=replicates)]) == [
        "epochs 20, replicates 1",
        "epochs 5, replicates 3",
    ]
    ranges = {"genome": {"rate": {"low": 1e-4, "high": 0.1, "log": True}}}
    assert names([study(), study(settings=ranges)]) == ["rate.low 1e-05", "rate.low 0.0001"]


def test_more_trials_are_another_way_to_search():
    assert names([study(), study(total=500)]) == ["trials 1", "trials 500"]


def test_name_place_and_time_limit_of_a_search_are_no_difference():
    other = {"name": "other", "task": {"dataset": "elsewhere.npz"}, "search": {"timeout": 60}}
    assert len(grouped([study(), study(settings=other)])) == 1


def test_one_group_has_the_name_of_the_search():
    assert names([study(seed=1), study(seed=2)]) == ["made-up"]


def test_where_much_differs_groups_have_the_names_of_their_searches():
    wide = {
        "name": "wide",
        "task": {"epochs": 5, "batch_size": 32},
        "network": {"hidden": [16]},
        "search": {"replicates": 3},
    }
    assert names([study(), study(settings=wide)]) == ["made-up", "wide"]
    found = [study(), study(settings={**wide, "name": "made-up"})]
    assert names(found) == [str(each.store) for each in found]
