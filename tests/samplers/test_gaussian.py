"""The Gaussian process, checked by its equations as written and by finite differences."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal, norm
from sklearn.gaussian_process.kernels import Matern

from hebbevo.samplers.gaussian import GaussianProcess

GROUPS = np.array([0, 1, 1, 2])
TOLERANCE = 1e-4


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
    process = GaussianProcess(GROUPS, TOLERANCE)
    process.fit(x, y)
    scales = np.exp(process.parameters[:-3])[GROUPS]
    linear, quadratic, noise = np.exp(process.parameters[-3:])
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


def test_a_trend_is_learned_from_few_data_and_continues_where_there_are_none():
    rng = np.random.default_rng(4)

    def bowl(points):
        return ((points - 0.6) ** 2).sum(axis=1)

    x = rng.random((30, 12)) * 0.7
    process = GaussianProcess(np.arange(12), TOLERANCE)
    process.fit(x, bowl(x))
    beyond = 0.7 + 0.3 * rng.random((50, 12))
    assert np.corrcoef(process.predict(beyond, 0.0)[0], bowl(beyond))[0, 1] > 0.9


def test_the_gradient_is_the_slope_of_the_negative_log_posterior(data):
    x, y = data
    process = GaussianProcess(GROUPS, TOLERANCE)
    process.fit(x, y)
    for parameters in (
        np.array([0.0, 0.5, -0.5, 1.0, -2.0, -3.0]),
        np.array([1.5, -1.0, 2.0, -1.0, 0.5, -6.0]),
    ):
        slope = approx_fprime(parameters, lambda p: process.negative_log_posterior(p)[0], 1e-6)
        assert process.negative_log_posterior(parameters)[1] == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_the_negative_log_posterior_is_that_of_the_equations(data):
    """Eq. 5.8 of Rasmussen & Williams at the best variance, and the priors of the logarithms."""
    x, y = data
    process = GaussianProcess(GROUPS, TOLERANCE)
    process.fit(x, y)
    standard = (y - y.mean()) / y.std()
    scale = np.sqrt(2) + np.log(3) / 2 - 1  # Hvarfner et al. (2024), for three genes
    centres, spreads = [scale] * 3 + [-4.0, -4.0, -5.0], [3.0] * 3 + [2.0, 2.0, 4.0]

    def literal(parameters):
        linear, quadratic, noise = np.exp(parameters[-3:])
        trend = trends(x, linear, quadratic)
        covariance = Matern(np.exp(parameters[:3])[GROUPS], nu=2.5)(x) + trend @ trend.T
        covariance += (noise + 1e-8) * np.eye(40)
        variance = standard @ np.linalg.solve(covariance, standard) / 40
        likelihood = -multivariate_normal(cov=variance * covariance).logpdf(standard)
        return likelihood - norm(centres, spreads).logpdf(parameters).sum()

    one, other = np.array([0.0, 0.5, -0.5, 1.0, -2.0, -3.0]), np.array([1.5, -1.0, 2.0, -1.0, 0.5, -6.0])
    # constants are left out, so that differences are compared
    difference = process.negative_log_posterior(one)[0] - process.negative_log_posterior(other)[0]
    assert difference == pytest.approx(literal(one) - literal(other), rel=1e-6)


def test_a_fit_ends_sooner_the_larger_the_tolerance_and_never_worse_than_it_began(data):
    x, y = data
    evaluations, reached = [], []
    for tolerance in (1e-1, 1e-2, 1e-4):
        process = CountedProcess(GROUPS, tolerance)
        start = process.parameters
        process.fit(x, y)
        evaluations.append(process.evaluations)
        reached.append(process.negative_log_posterior(process.parameters)[0])
        assert reached[-1] <= process.negative_log_posterior(start)[0]
    assert evaluations == sorted(evaluations)
    assert reached == sorted(reached, reverse=True)
    assert evaluations[0] < evaluations[-1]


class CountedProcess(GaussianProcess):
    """Counts how often the objective of a fit is computed."""

    evaluations = 0

    def negative_log_posterior(self, parameters):
        self.evaluations += 1
        return super().negative_log_posterior(parameters)


def test_parameters_with_an_indefinite_covariance_are_the_worst_and_have_no_slope(data):
    process = GaussianProcess(GROUPS, TOLERANCE)
    process.fit(*data)
    value, gradient = process.negative_log_posterior(np.array([0.0, 0.0, 0.0, 40.0, 40.0, -14.0]))
    assert value == 1e10
    assert gradient.tolist() == [0.0] * 6


def test_the_noise_keeps_to_its_range_where_there_is_none_and_where_there_is_nothing_else():
    rng = np.random.default_rng(0)
    x = rng.random((200, 3))
    process = GaussianProcess(np.arange(3), TOLERANCE)
    process.fit(x, (x**2).sum(axis=1))
    assert process.parameters[-1] == pytest.approx(-14.0)
    process.fit(x, rng.normal(size=200))
    assert process.parameters[-1] == pytest.approx(1.0)


def test_a_gene_without_influence_gets_the_longest_scale(data):
    x, y = data
    process = GaussianProcess(GROUPS, TOLERANCE)
    process.fit(x, y)
    assert process.parameters[:-3].argmax() == 1


def test_noise_is_distinguished_from_the_function():
    rng = np.random.default_rng(2)
    x = rng.random((200, 1))
    process = GaussianProcess(np.array([0]), TOLERANCE)
    process.fit(x, np.sin(6 * x[:, 0]) + 0.3 * rng.normal(size=200))
    new = np.linspace(0.05, 0.95, 19)[:, None]
    assert np.abs(process.predict(new, 0.0)[0] - np.sin(6 * new[:, 0])).max() < 0.2


def test_equal_values_are_predicted_everywhere():
    x = np.random.default_rng(3).random((12, 4))
    process = GaussianProcess(GROUPS, TOLERANCE)
    process.fit(x, np.full(12, 7.0))
    assert process.predict(1 - x, 0.0)[0] == pytest.approx(7.0)


def test_equal_inputs_are_accepted(data):
    x, y = data
    process = GaussianProcess(GROUPS, TOLERANCE)
    process.fit(np.vstack([x, x]), np.append(y, y + 0.01))
    assert process.predict(x, 1.0)[1] == pytest.approx(y, abs=0.3)
