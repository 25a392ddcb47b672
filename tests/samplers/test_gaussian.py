"""The Gaussian process against its literal equations, and its gradient against differences."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process.kernels import Matern

from hebbevo.samplers.gaussian import GaussianProcess

GROUPS = np.array([0, 1, 1, 2])


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.random((40, 4))
    return x, np.sin(5 * x[:, 0]) + x[:, 3] ** 2 + 0.05 * rng.normal(size=40)


def trends(x, linear, quadratic):
    """The covariance of a random linear and a random quadratic function, each of variance 1 in sum."""
    one = (x - 0.5) * np.sqrt(12 / x.shape[1])
    two = ((x - 0.5) ** 2 - 1 / 12) * np.sqrt(180 / x.shape[1])
    return np.hstack([np.sqrt(linear) * one, np.sqrt(quadratic) * two])


def test_predictions_are_those_of_scikit_learns_kernel_and_a_trend(data):
    x, y = data
    process = GaussianProcess(GROUPS)
    process.fit(x, y)
    scales = np.exp(process._parameters[:-3])[GROUPS]
    linear, quadratic, noise = np.exp(process._parameters[-3:])
    new = np.random.default_rng(1).random((15, 4))
    matern = Matern(scales, nu=2.5)
    here, there = trends(x, linear, quadratic), trends(new, linear, quadratic)
    inverse = np.linalg.inv(matern(x) + here @ here.T + (noise + 1e-8) * np.eye(40))
    cross = matern(new, x) + there @ here.T
    standard = (y - y.mean()) / y.std()
    variance = standard @ inverse @ standard / 40  # of the function, in closed form
    mean = cross @ inverse @ standard
    left = 1 + (there**2).sum(axis=1) - (cross @ inverse * cross).sum(axis=1)
    sd = np.sqrt(variance * left)
    assert process.predict(new, 0.0)[0] == pytest.approx(y.mean() + y.std() * mean, abs=1e-5)
    assert process.predict(new, 2.0)[1] == pytest.approx(y.mean() + y.std() * (mean - 2 * sd), abs=1e-4)


def test_a_trend_is_learned_from_few_and_carries_on_where_there_are_none():
    rng = np.random.default_rng(4)

    def bowl(points):
        return ((points - 0.6) ** 2).sum(axis=1)

    x = rng.random((30, 12)) * 0.7
    process = GaussianProcess(np.arange(12))
    process.fit(x, bowl(x))
    beyond = 0.7 + 0.3 * rng.random((50, 12))
    assert np.corrcoef(process.predict(beyond, 0.0)[0], bowl(beyond))[0, 1] > 0.9


def test_the_gradient_is_the_slope_of_what_is_minimised(data):
    x, y = data
    process = GaussianProcess(GROUPS)
    process.fit(x, y)
    for parameters in (
        np.array([0.0, 0.5, -0.5, 1.0, -2.0, -3.0]),
        np.array([1.5, -1.0, 2.0, -1.0, 0.5, -6.0]),
    ):
        slope = approx_fprime(parameters, lambda p: process._misfit(p)[0], 1e-6)
        assert process._misfit(parameters)[1] == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_a_gene_without_influence_gets_the_longest_scale(data):
    x, y = data
    process = GaussianProcess(GROUPS)
    process.fit(x, y)
    assert process._parameters[:-3].argmax() == 1


def test_noise_is_told_from_the_function():
    rng = np.random.default_rng(2)
    x = rng.random((200, 1))
    process = GaussianProcess(np.array([0]))
    process.fit(x, np.sin(6 * x[:, 0]) + 0.3 * rng.normal(size=200))
    new = np.linspace(0.05, 0.95, 19)[:, None]
    assert np.abs(process.predict(new, 0.0)[0] - np.sin(6 * new[:, 0])).max() < 0.2


def test_equal_values_are_predicted_everywhere():
    x = np.random.default_rng(3).random((12, 4))
    process = GaussianProcess(GROUPS)
    process.fit(x, np.full(12, 7.0))
    assert process.predict(1 - x, 0.0)[0] == pytest.approx(7.0)


def test_inputs_that_stand_there_twice_do_no_harm(data):
    x, y = data
    process = GaussianProcess(GROUPS)
    process.fit(np.vstack([x, x]), np.append(y, y + 0.01))
    assert process.predict(x, 1.0)[1] == pytest.approx(y, abs=0.3)
