import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hebbevo.objectives.pareto import front, hypervolume, hypervolume_history

points_of_three_measures = st.lists(
    st.tuples(
        st.integers(0, 10).map(lambda tenth: tenth / 10),
        st.integers(0, 6).map(float),
        st.integers(0, 6).map(float),
    ),
    max_size=25,
).map(lambda rows: np.array(rows, dtype=float).reshape(-1, 3))
points_on_a_coarse_grid = st.lists(
    st.tuples(st.integers(0, 10).map(lambda tenth: tenth / 10), st.integers(0, 12).map(float)), max_size=25
).map(lambda rows: np.array(rows, dtype=float).reshape(-1, 2))


def front_by_brute_force(points):
    def beats(one, other):
        return one[0] >= other[0] and (one[1:] <= other[1:]).all() and tuple(one) != tuple(other)

    kept = []
    for i, point in enumerate(points):
        first = all(tuple(point) != tuple(points[j]) for j in range(i))
        if np.isfinite(point).all() and first:
            others = [other for other in points if np.isfinite(other).all()]
            if not any(beats(other, point) for other in others):
                kept.append(i)
    return sorted(kept, key=lambda i: tuple(points[i][1:]))


def area_by_counting(points, chance, neurons, steps=400):
    """The share of a fine grid of cells whose centres some point dominates."""
    accuracy = chance + (np.arange(steps) + 0.5) / steps * (1 - chance)
    share = (np.arange(steps) + 0.5) / steps
    dominated = np.zeros((steps, steps), dtype=bool)
    for a, s in points:
        dominated |= (a >= accuracy)[:, None] & (s / neurons <= share)[None, :]
    return dominated.mean()


@given(points_on_a_coarse_grid)
def test_the_front_is_the_brute_force_front(points):
    assert front(points).tolist() == front_by_brute_force(points)


@given(points_of_three_measures)
def test_the_front_of_three_measures_is_the_brute_force_front(points):
    assert front(points).tolist() == front_by_brute_force(points)


def test_the_hypervolume_of_three_measures_is_the_share_of_a_box_that_they_dominate():
    rng = np.random.default_rng(4)
    points = rng.random((30, 3)) * [0.9, 20.0, 50.0]
    draws = rng.random((200_000, 3)) * [0.8, 20.0, 50.0] + [0.2, 0.0, 0.0]
    is_dominated = np.zeros(len(draws), bool)
    for point in points:
        is_dominated |= (point[0] >= draws[:, 0]) & (point[1:] <= draws[:, 1:]).all(axis=1)
    found = hypervolume(points, reference_accuracy=0.2, neurons=(20, 50))
    assert found == pytest.approx(is_dominated.mean(), abs=0.004)
    history = hypervolume_history(points, 0.2, (20, 50))
    assert history[-1] == pytest.approx(found)
    assert history[9] == pytest.approx(hypervolume(points[:10], 0.2, (20, 50)))


def test_of_equal_points_the_first_stays():
    points = np.array([[0.5, 9.0], [0.9, 5.0], [0.9, 5.0], [0.5, 2.0], [0.5, 2.0]])
    assert front(points).tolist() == [3, 1]


def test_rows_without_a_finite_score_never_belong_to_the_front():
    points = np.array([[np.nan, 1.0], [0.5, 3.0], [np.inf, 0.0], [0.9, np.nan], [0.8, -np.inf]])
    assert front(points).tolist() == [1]


@pytest.mark.parametrize("points", [np.empty((0, 2)), np.full((3, 2), np.nan)])
def test_no_finite_point_gives_an_empty_front_and_no_volume(points):
    assert front(points).tolist() == []
    assert front(points).dtype.kind == "i"
    assert hypervolume(points, 0.1, 10) == 0.0
    assert hypervolume_history(points, 0.1, 10).tolist() == [0.0] * len(points)


def test_the_hypervolume_is_the_sum_of_the_rectangles():
    points = np.array([[0.6, 20.0], [0.9, 50.0], [0.7, 60.0]])  # the third is dominated
    # reference (0.1, 100 of 100): 0.6 - 0.1 high over 0.8 wide, then 0.9 - 0.6 high over 0.5 wide
    assert hypervolume(points, 0.1, 100) == pytest.approx((0.5 * 0.8 + 0.3 * 0.5) / 0.9, abs=1e-12)


def test_full_accuracy_without_a_neuron_fills_the_region():
    assert hypervolume(np.array([[1.0, 0.0]]), 0.25, 64) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("useless", [[0.1, 0.0], [0.05, 3.0], [0.99, 100.0], [0.99, 140.0]])
def test_points_no_better_than_the_reference_add_nothing(useless):
    good = [0.8, 40.0]
    alone = hypervolume(np.array([good]), 0.1, 100)
    assert hypervolume(np.array([useless]), 0.1, 100) == 0.0
    assert hypervolume(np.array([good, useless]), 0.1, 100) == pytest.approx(alone, abs=1e-12)


@given(points_on_a_coarse_grid)
def test_the_hypervolume_is_the_dominated_share_of_the_region(points):
    # 0.2 and the grid of the points fall on borders of the counted cells, so that counting is exact
    assert hypervolume(points, 0.2, 10) == pytest.approx(area_by_counting(points, 0.2, 10), abs=1e-9)


@given(points_on_a_coarse_grid)
def test_the_history_is_the_hypervolume_of_every_beginning(points):
    expected = [hypervolume(points[: n + 1], 0.15, 10) for n in range(len(points))]
    np.testing.assert_allclose(hypervolume_history(points, 0.15, 10), expected, atol=1e-12)


def test_a_failed_trial_leaves_the_history_where_it_was():
    points = np.array([[0.5, 50.0], [np.nan, np.nan], [1.0, 50.0]])
    np.testing.assert_allclose(hypervolume_history(points, 0.0, 100), [0.25, 0.25, 0.5])


def test_the_points_of_the_caller_stay_as_they_were():
    points = np.array([[0.5, 9.0], [0.9, 5.0], [np.nan, 1.0]])
    before = points.copy()
    front(points), hypervolume(points, 0.1, 10), hypervolume_history(points, 0.1, 10)
    np.testing.assert_array_equal(points, before)
