"""The Gaussian process against scikit-learn's, and its gradient against differences."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel

from hebbevo.samplers.gaussian import GaussianProcess

GROUPS = np.array([0, 1, 1, 2])


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.random((40, 4))
    return x, np.sin(5 * x[:, 0]) + x[:, 3] ** 2 + 0.05 * rng.normal(size=40)


def test_predictions_are_those_of_scikit_learn_with_the_same_hyperparameters(data):
    x, y = data
    process = GaussianProcess(GROUPS)
    process.fit(x, y, iterations=20)
    scales, noise = np.exp(process._parameters[:-1])[GROUPS], np.exp(process._parameters[-1])
    standard = (y - y.mean()) / y.std()
    kernel = Matern(scales, nu=2.5) + WhiteKernel(noise)
    theirs = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-8).fit(x, standard)
    new = np.random.default_rng(1).random((15, 4))
    mean = theirs.predict(new)
    covariance = np.linalg.inv(kernel(x) + 1e-8 * np.eye(40))
    variance = standard @ covariance @ standard / 40  # of the function, in closed form
    cross = Matern(scales, nu=2.5)(new, x)
    sd = np.sqrt(variance * (1 - (cross @ covariance * cross).sum(axis=1)))
    assert process.hopeful(new, 0.0) == pytest.approx(y.mean() + y.std() * mean, abs=1e-6)
    assert process.hopeful(new, 2.0) == pytest.approx(y.mean() + y.std() * (mean - 2 * sd), abs=1e-5)


def test_the_gradient_is_the_slope_of_what_is_minimised(data):
    x, y = data
    process = GaussianProcess(GROUPS)
    process.fit(x, y, iterations=1)
    for parameters in (np.array([0.0, 0.5, -0.5, -3.0]), np.array([1.5, -1.0, 2.0, -6.0])):
        slope = approx_fprime(parameters, lambda p: process._misfit(p)[0], 1e-6)
        assert process._misfit(parameters)[1] == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_a_gene_without_influence_gets_the_longest_scale(data):
    x, y = data
    process = GaussianProcess(GROUPS)
    process.fit(x, y, iterations=50)
    assert process._parameters[:-1].argmax() == 1


def test_noise_is_told_from_the_function():
    rng = np.random.default_rng(2)
    x = rng.random((200, 1))
    process = GaussianProcess(np.array([0]))
    process.fit(x, np.sin(6 * x[:, 0]) + 0.3 * rng.normal(size=200), iterations=50)
    new = np.linspace(0.05, 0.95, 19)[:, None]
    assert np.abs(process.hopeful(new, 0.0) - np.sin(6 * new[:, 0])).max() < 0.2


def test_equal_values_are_predicted_everywhere():
    x = np.random.default_rng(3).random((12, 4))
    process = GaussianProcess(GROUPS)
    process.fit(x, np.full(12, 7.0), iterations=12)
    assert process.hopeful(1 - x, 0.0) == pytest.approx(7.0)


def test_inputs_that_stand_there_twice_do_no_harm(data):
    x, y = data
    process = GaussianProcess(GROUPS)
    process.fit(np.vstack([x, x]), np.append(y, y + 0.01), iterations=12)
    assert process.hopeful(x, 1.0) == pytest.approx(y, abs=0.3)
