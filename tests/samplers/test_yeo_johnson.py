"""The power transformation, checked by SciPy's."""

import numpy as np
import pytest
from scipy.stats import yeojohnson, yeojohnson_normmax

from hebbevo.samplers.yeo_johnson import likeliest_power, transformed


@pytest.mark.parametrize("power", [-4.0, 0.0, 0.3, 1.0, 2.0, 6.0])
def test_the_transformation_is_that_of_scipy(power):
    values = np.random.default_rng(0).normal(size=50)
    assert transformed(values, power) == pytest.approx(yeojohnson(values, power), rel=1e-12)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_power_is_the_likeliest(sign):
    values = sign * np.random.default_rng(0).gamma(0.8, size=200)
    standard = (values - values.mean()) / values.std()
    assert likeliest_power(standard) == pytest.approx(yeojohnson_normmax(standard), abs=1e-4)


def test_values_that_hardly_differ_have_a_power():
    assert np.isfinite(likeliest_power(np.array([0.0, 0.0, 1e-200])))
