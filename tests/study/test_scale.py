"""Scales of axes."""

import numpy as np
import pytest

from hebbevo.study.scale import scale


def test_values_over_a_factor_of_ten_stand_on_a_log_axis():
    assert scale([4, 40]).log
    assert not scale([4, 39]).log
    assert not scale([-1, 1, 100]).log
    assert scale([4, 16], factor=4).log
    assert not scale([4, 15], factor=4).log


def test_a_log_axis_is_ticked_at_one_two_and_five_of_each_decade():
    assert scale([4, 256]).ticks() == [
        (5, "5"),
        (10, "10"),
        (20, "20"),
        (50, "50"),
        (100, "100"),
        (200, "200"),
    ]


def test_an_axis_of_many_decades_is_ticked_once_a_decade():
    assert [label for _, label in scale([1e-4, 1]).ticks()] == ["0.0001", "0.001", "0.01", "0.1", "1"]


def test_zero_has_its_own_place_left_of_the_smallest_value():
    axis = scale([0, 4, 100, np.nan])
    assert axis.ticks()[0] == (0.5, "0")
    assert axis.place([0, 4]).tolist() == [0.5, 4]
    assert axis.low < 0.5


def test_a_linear_axis_places_values_where_they_are():
    assert scale([-1, 0, 1]).place([-1, 0.5]).tolist() == [-1, 0.5]


@pytest.mark.parametrize("values", [[7.0], [0.0], [3, 3]])
def test_a_single_value_lies_inside_its_axis(values):
    axis = scale(values)
    assert axis.low < values[0] < axis.high


def test_shares_are_round_percentages_at_their_places():
    assert scale([10, 100]).shares(100) == [(100, 1), (50, 0.5), (20, 0.2), (10, 0.1)]
    assert [share for _, share in scale([60, 100]).shares(100)] == [0.6, 0.8, 1]
    assert scale([0, 4, 256]).shares(256)[0] == (0.5, 0)


def test_error_bars_end_at_the_border_of_a_log_axis():
    axis = scale([2, 200])
    np.testing.assert_allclose(axis.bars([2, 200], [5, np.nan]), [[2 - axis.low, 0], [5, 0]])
    np.testing.assert_allclose(scale([0, 4, 100]).bars([0, 4], [0, 1]), [[0, 1], [0, 1]])
    np.testing.assert_allclose(scale([2, 3]).bars([2], [5]), [[5], [5]])
