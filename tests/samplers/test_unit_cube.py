"""The two reflections into the unit cube."""

import numpy as np
import pytest

from hebbevo.samplers.unit_cube import reflected, reflected_once

FAR = np.linspace(-4.0, 4.0, 81)


@pytest.mark.parametrize("x", FAR)
def test_a_coordinate_is_reflected_as_often_as_it_takes(x):
    expected = x
    while not 0 <= expected <= 1:
        expected = -expected if expected < 0 else 2 - expected
    assert reflected(float(x)) == pytest.approx(expected)
    assert reflected(np.array([x])) == pytest.approx(expected)


def test_one_reflection_at_each_bound_is_enough_near_the_cube_and_clips_beyond():
    x = np.linspace(-3.0, 3.0, 121)
    near = abs(x - 0.5) <= 1.5
    assert reflected_once(x)[near] == pytest.approx(reflected(x)[near])
    assert reflected_once(x).min() == 0.0 and reflected_once(x).max() == 1.0


def test_one_reflection_leaves_coordinates_inside_exactly_as_they_are():
    x = np.append(np.random.default_rng(0).random(1000) ** 9, [0.0, 1.0, 5e-324])
    np.testing.assert_array_equal(reflected_once(x), x)
