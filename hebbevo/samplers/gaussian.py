"""Gaussian process regression (Rasmussen & Williams, 2006) with a trend, and a length scale per gene."""

from __future__ import annotations

import math

import numpy as np
import scipy  # SciPy imports its parts on first use, so that a short command does not wait for them
from numpy.typing import NDArray

Array = NDArray[np.float64]

_JITTER = 1e-8  # added to the variances, so that two equal inputs do not make the covariance singular
_INDEFINITE = 1e10  # the objective of hyperparameters whose covariance is not positive definite

_ITERATIONS = 25  # of a fit, which begins where the last one ended


class GaussianProcess:
    """A smooth function of the genome plus noise, learned from examples.

    The covariance is the sum of three: a Matérn 5/2 (Rasmussen & Williams, eq. 4.17) for the shape of the
    function, and a linear and a quadratic trend in every input. A trend is learned from few data and
    continues where there are none. Its prior is weak; a strong trend would send every search to the corners
    of the cube.

    The length scales have the log-normal prior of Hvarfner et al. (2024, arXiv:2402.02229), which grows with
    the number of genes. It keeps them from diverging with many genes or few data. The variance of the whole
    function has no prior: its best value follows from the data in closed form.

    Args:
        groups: (columns,) int, ascending from 0: the gene that each input column belongs to. The columns of a
            gene share a length scale.
        tolerance: a fit ends with the first iteration that lowers its objective by a smaller part than this.

    Attributes:
        parameters: logarithms of the hyperparameters, (genes + 3,): the length scales, the variances of the
            linear and of the quadratic trend, and the variance of the noise. Variances are in parts of that
            of the Matérn.

    Examples:
        >>> x = np.linspace(0.0, 1.0, 20)[:, None]
        >>> process = GaussianProcess(groups=np.array([0]), tolerance=1e-4)
        >>> process.fit(x, np.sin(6 * x[:, 0]))
        >>> expected, bound = process.predict(np.array([[0.33]]), optimism=2.0)
        >>> bool(abs(expected[0] - np.sin(6 * 0.33)) < 0.01 and bound[0] < expected[0])
        True
    """

    def __init__(self, groups: NDArray[np.intp], tolerance: float) -> None:
        self._groups = groups
        self._tolerance = tolerance
        genes = int(groups[-1]) + 1
        scale = math.sqrt(2) + math.log(genes) / 2 - 1
        # mean and standard deviation of the normal priors of the logarithms, and the range that is searched
        self._centres = np.array([*[scale] * genes, -4.0, -4.0, -5.0])
        self._spreads = np.array([*[3.0] * genes, 2.0, 2.0, 4.0])
        self._bounds = [(-3.0, 5.0)] * genes + [(-12.0, 8.0)] * 2 + [(-14.0, 1.0)]
        self.parameters = self._centres

    def fit(self, x: Array, y: Array) -> None:
        """Fit the hyperparameters by L-BFGS-B, from where the last fit ended, and keep what predictions need.

        Args:
            x: inputs, (n, columns), in the unit cube.
            y: values, (n,), of any scale.
        """
        self._mean, self._sd = y.mean(), y.std() or 1.0
        self._x, self._y = x, (y - self._mean) / self._sd
        trends = np.stack(_trends(x))
        self._trends = trends @ trends.transpose(0, 2, 1)
        found = scipy.optimize.minimize(
            self.negative_log_posterior,
            self.parameters,
            jac=True,
            method="L-BFGS-B",
            bounds=self._bounds,
            options={"maxiter": _ITERATIONS, "ftol": self._tolerance},
        )
        self.parameters = found.x
        self._scaled = x / self._scales(found.x)
        self._factor = scipy.linalg.cholesky(self._covariance(self._scaled, found.x)[0], lower=True)
        self._weights = scipy.linalg.cho_solve((self._factor, True), self._y)
        # the likeliest variance of the whole function: the root of the derivative of eq. 5.8 by this factor
        self._variance = self._y @ self._weights / len(x)
        self._trend = self._scaled_trends(x)
        self._trend_weights = self._trend.T @ self._weights

    def predict(self, x: Array, optimism: float) -> tuple[Array, Array]:
        """Predict the values at new inputs (Rasmussen & Williams, eq. 2.25 and 2.26).

        Args:
            x: inputs, (n, columns), in the unit cube.
            optimism: the standard deviations of the function by which the bound is below the expected value.

        Returns:
            The expected values, (n,), and their lower confidence bounds, (n,).
        """
        trend = self._scaled_trends(x)
        kernel = _matern(x / self._scales(self.parameters), self._scaled)[0]
        expected = bound = kernel @ self._weights + trend @ self._trend_weights
        if optimism:
            kernel += trend @ self._trend.T
            explained = scipy.linalg.blas.dtrsm(1.0, self._factor, kernel.T, lower=1, overwrite_b=1)
            left = 1 + (trend * trend).sum(axis=1) - (explained * explained).sum(axis=0)
            bound = expected - optimism * np.sqrt(self._variance * np.maximum(left, 0.0))
        return self._mean + self._sd * expected, self._mean + self._sd * bound

    def _scales(self, parameters: Array) -> Array:
        scales: Array = np.exp(parameters[:-3])[self._groups]
        return scales

    def _scaled_trends(self, x: Array) -> Array:
        deviations = np.exp(self.parameters[-3:-1] / 2)
        return np.hstack([deviation * trend for deviation, trend in zip(deviations, _trends(x), strict=True)])

    def _covariance(self, scaled: Array, parameters: Array) -> tuple[Array, Array]:
        kernel, slope = _matern(scaled, scaled)
        kernel[np.diag_indices(len(scaled))] = 1 + np.exp(parameters[-1]) + _JITTER
        kernel += (np.exp(parameters[-3:-1]) @ self._trends.reshape(2, -1)).reshape(kernel.shape)
        return kernel, slope

    def negative_log_posterior(self, parameters: Array) -> tuple[float, Array]:
        """The negative log posterior of the hyperparameters, and its gradient.

        The likelihood is eq. 5.8 of Rasmussen & Williams, its gradient eq. 5.9. The priors are
        normal. Constants are left out. The variance of the whole function has its best value for these
        parameters.

        Args:
            parameters: as the attribute ``parameters``.

        Returns:
            A number and (genes + 3,).
        """
        scaled = self._x / self._scales(parameters)
        covariance, slope = self._covariance(scaled, parameters)
        factor, failed = scipy.linalg.lapack.dpotrf(covariance.T, lower=1, overwrite_a=1)
        if failed:
            return _INDEFINITE, np.zeros_like(parameters)
        weights, _ = scipy.linalg.lapack.dpotrs(factor, self._y, lower=1)
        variance = max(self._y @ weights / len(scaled), _JITTER)
        # eq. 5.8: at the best variance its first term, the fit to the data, is the constant n / 2
        misfit = len(scaled) / 2 * math.log(variance) + np.log(np.diag(factor)).sum()

        # eq. 5.9: half the trace of (K^-1 - w w^T / variance) dK/dparameter, with the weights w. All factors
        # are symmetric, so that one triangle with half of the diagonal gives half of every sum
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
        pull = scipy.linalg.blas.dsyr(-1 / variance, weights, a=inverse, lower=1, overwrite_a=1).T
        pull[np.diag_indices(len(scaled))] /= 2
        # dk/dlog(scale) is 5/3 slope (a_i - a_j)^2, summed over pairs without forming the differences
        steep = pull * slope
        apart = (steep.sum(axis=0) + steep.sum(axis=1)) @ (scaled * scaled)
        by_column = 5 / 3 * (apart - 2 * (scaled * (steep @ scaled)).sum(axis=0))
        by_variance = np.append(self._trends.reshape(2, -1) @ pull.ravel(), pull.trace())
        gradient = np.append(
            np.bincount(self._groups, by_column, len(parameters) - 3),
            np.exp(parameters[-3:]) * by_variance,
        )
        away = (parameters - self._centres) / self._spreads
        return misfit + (away * away).sum() / 2, gradient + away / self._spreads


def _trends(x: Array) -> tuple[Array, Array]:
    """Linear and quadratic functions of (n, columns), of variance 1 in sum over the unit cube."""
    centred = x - 0.5
    columns = x.shape[1]
    return centred * math.sqrt(12 / columns), (centred * centred - 1 / 12) * math.sqrt(180 / columns)


def _matern(a: Array, b: Array) -> tuple[Array, Array]:
    """The Matérn 5/2 between (n, columns) and (m, columns), and its slope: -6/5 dk/d(r^2), each (n, m).

    With s = sqrt(5) r it is (1 + s + s^2 / 3) exp(-s) (Rasmussen & Williams, eq. 4.17). Arrays are reused:
    most of the time of an ask is spent here.
    """
    a, b = math.sqrt(5) * a, math.sqrt(5) * b
    squared = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)
    squared -= 2 * a @ b.T
    r = np.sqrt(np.abs(squared, out=squared))  # rounding may leave a distance of 0 a little below 0
    slope = np.exp(-r)
    squared *= slope
    r += 1
    slope *= r
    squared *= 1 / 3
    squared += slope
    return squared, slope
