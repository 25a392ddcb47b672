"""Attainment surfaces against their definition, point by point."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hebbevo.objectives.attainment import accuracy_at, leads, median_level, surface
from hebbevo.objectives.pareto import front

CHANCE, NEURONS = 0.1, 12
# few values, so that ties and equal points are frequent
points = (
    st.integers(0, 6)
    .flatmap(lambda n: arrays(float, (n, 2), elements=st.integers(0, NEURONS).map(float)))
    .map(lambda grid: grid * [1 / NEURONS, 1.0])
)
fronts = st.lists(points, min_size=1, max_size=6)


def attains(found, accuracy, survivors):
    return any(a >= accuracy and s <= survivors for a, s in found)


def best_at(found, survivors):
    """The accuracy of one search with at most so many survivors, by looking at every point."""
    return max((a for a, s in found if s <= survivors), default=-np.inf)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(fronts, st.data())
def test_a_surface_borders_what_at_least_so_many_searches_attain(found, data):
    level = data.draw(st.integers(1, len(found)))
    corners = surface(found, level)
    for accuracy in np.arange(NEURONS + 1) / NEURONS:
        for survivors in range(NEURONS + 1):
            attained = sum(attains(each, accuracy, survivors) for each in found) >= level
            assert attains(corners, accuracy, survivors) == attained


@settings(max_examples=60, deadline=None, derandomize=True)
@given(fronts, st.data())
def test_along_a_surface_is_the_accuracy_of_that_rank_among_the_searches(found, data):
    level = data.draw(st.integers(1, len(found)))
    for survivors in np.arange(0, NEURONS, 0.5):
        ranked = sorted((best_at(each, survivors) for each in found), reverse=True)
        expected = max(ranked[level - 1], CHANCE)
        assert accuracy_at(surface(found, level), survivors, CHANCE) == pytest.approx(expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(points)
def test_the_surface_of_one_search_is_its_front(found):
    np.testing.assert_array_equal(surface([found], 1), found[front(found)])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(points, points)
def test_leads_are_where_one_accuracy_is_above_the_other(first, second):
    a, b = surface([first], 1), surface([second], 1)
    found = leads(a, b, CHANCE)
    largest = dict.fromkeys(range(len(found)), 0.0)
    for survivors in np.arange(0, NEURONS + 3, 0.25):
        ahead = max(best_at(first, survivors), CHANCE) - max(best_at(second, survivors), CHANCE)
        inside = [place for place, lead in enumerate(found) if lead.start <= survivors < lead.end]
        assert len(inside) == (abs(ahead) > 1e-9)
        if inside:
            assert found[inside[0]].is_first == (ahead > 0)
            largest[inside[0]] = max(largest[inside[0]], abs(ahead))
    assert [lead.most for lead in found] == pytest.approx(list(largest.values()))
    for one, other in itertools.pairwise(found):
        assert one.end <= other.start
        assert one.end < other.start or one.is_first != other.is_first  # neighbours alike are one range


def test_the_largest_difference_is_at_its_fewest_survivors():
    first = np.array([[0.8, 2.0], [0.95, 6.0]])
    second = np.array([[0.7, 2.0], [0.75, 4.0], [0.9, 9.0]])
    [lead] = leads(first, second, CHANCE)
    assert (lead.is_first, lead.start, lead.end, lead.at) == (True, 2.0, np.inf, 6.0)
    assert lead.most == pytest.approx(0.2)


def test_searches_without_a_point_count_as_searches_that_attain_nothing():
    one, none = np.array([[0.9, 3.0]]), np.empty((0, 2))
    assert surface([one, none, none], 1).tolist() == [[0.9, 3.0]]
    assert surface([one, none, none], 2).shape == (0, 2)
    assert accuracy_at(none, [0, 5], CHANCE).tolist() == [CHANCE, CHANCE]
    assert leads(none, none, CHANCE) == []


@pytest.mark.parametrize(("count", "level"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (10, 5)])
def test_at_least_half_of_the_searches_attain_the_median(count, level):
    assert median_level(count) == level
