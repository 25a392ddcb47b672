"""Gaussian process regression (Rasmussen & Williams, 2006) with a trend, and a length scale a gene."""

from __future__ import annotations

import math

import numpy as np
import scipy  # whose parts are imported on first use
from numpy.typing import NDArray

Array = NDArray[np.float64]

_JITTER = 1e-8
_ITERATIONS = 25  # of a fit, which begins where the last one ended
_GAIN = 1e-4  # an iteration that lessens the misfit by a smaller part is the last


class GaussianProcess:
    """One loss as a smooth function of the genome, with noise.

    The kernel is a Matérn 5/2, which bends, and a trend, linear and quadratic in every input: the trend is
    learned from few data and carries on where there are none. Its prior is a weak one, or the trend would
    point to the corners of the cube. The scale of the function follows from the data in closed form. The
    length scales have the log-normal prior of Hvarfner et al. (2024, arXiv:2402.02229), which grows with the
    number of genes; so neither many genes nor few data make them run away.

    Args:
        groups: (columns,) int, the gene that each input column belongs to; its columns share a length scale.
    """

    def __init__(self, groups: NDArray[np.intp]) -> None:
        self._groups = groups
        genes = int(groups[-1]) + 1
        scale = math.sqrt(2) + math.log(genes) / 2 - 1
        # logarithms: of the length scales, of the variances of the linear and quadratic trend, of the noise's
        self._centres = np.array([*[scale] * genes, -4.0, -4.0, -5.0])
        self._spreads = np.array([*[3.0] * genes, 2.0, 2.0, 4.0])
        self._bounds = [(-3.0, 5.0)] * genes + [(-12.0, 8.0)] * 2 + [(-14.0, 1.0)]
        self._parameters = self._centres

    def fit(self, x: Array, y: Array) -> None:
        """Fit to inputs (n, columns) in the unit cube and values (n,), from where the last fit ended.

        The hyperparameters maximise the marginal likelihood times the prior, by L-BFGS-B.
        """
        self._mean, self._sd = y.mean(), y.std() or 1.0
        self._x, self._y = x, (y - self._mean) / self._sd
        trends = np.stack(_trends(x))
        self._trends = trends @ trends.transpose(0, 2, 1)
        found = scipy.optimize.minimize(
            self._misfit,
            self._parameters,
            jac=True,
            method="L-BFGS-B",
            bounds=self._bounds,
            options={"maxiter": _ITERATIONS, "ftol": _GAIN},
        )
        self._parameters = found.x
        self._scaled = x / self._scales(found.x)
        self._factor = scipy.linalg.cholesky(self._covariance(self._scaled, found.x)[0], lower=True)
        self._weights = scipy.linalg.cho_solve((self._factor, True), self._y)
        self._variance = self._y @ self._weights / len(x)
        self._trend = self._weighed(x)
        self._trend_weights = self._trend.T @ self._weights

    def predict(self, x: Array, optimism: float) -> tuple[Array, Array]:
        """Predict the values (n,) at (n, columns): as expected, and ``optimism`` standard deviations less."""
        trend = self._weighed(x)
        kernel = _matern(x / self._scales(self._parameters), self._scaled)[0]
        expected = hopeful = kernel @ self._weights + trend @ self._trend_weights
        if optimism:
            kernel += trend @ self._trend.T
            explained = scipy.linalg.blas.dtrsm(1.0, self._factor, kernel.T, lower=1, overwrite_b=1)
            left = 1 + (trend * trend).sum(axis=1) - (explained * explained).sum(axis=0)
            hopeful = expected - optimism * np.sqrt(self._variance * np.maximum(left, 0.0))
        return self._mean + self._sd * expected, self._mean + self._sd * hopeful

    def _scales(self, parameters: Array) -> Array:
        scales: Array = np.exp(parameters[:-3])[self._groups]
        return scales

    def _weighed(self, x: Array) -> Array:
        deviations = np.exp(self._parameters[-3:-1] / 2)
        return np.hstack([deviation * trend for deviation, trend in zip(deviations, _trends(x), strict=True)])

    def _covariance(self, scaled: Array, parameters: Array) -> tuple[Array, Array]:
        kernel, slope = _matern(scaled, scaled)
        kernel[np.diag_indices(len(scaled))] = 1 + np.exp(parameters[-1]) + _JITTER
        kernel += (np.exp(parameters[-3:-1]) @ self._trends.reshape(2, -1)).reshape(kernel.shape)
        return kernel, slope

    def _misfit(self, parameters: Array) -> tuple[float, Array]:
        """Negative log posterior of the hyperparameters and its gradient (ibid., eq. 5.8 and 5.9)."""
        scaled = self._x / self._scales(parameters)
        covariance, slope = self._covariance(scaled, parameters)
        factor, failed = scipy.linalg.lapack.dpotrf(covariance.T, lower=1, overwrite_a=1)
        if failed:
            return 1e10, np.zeros_like(parameters)
        weights, _ = scipy.linalg.lapack.dpotrs(factor, self._y, lower=1)
        variance = max(self._y @ weights / len(scaled), _JITTER)
        misfit = len(scaled) / 2 * math.log(variance) + np.log(np.diag(factor)).sum()

        # everything here is symmetric: one triangle and half of the diagonal are half of every sum
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
        pull = scipy.linalg.blas.dsyr(-1 / variance, weights, a=inverse, lower=1, overwrite_a=1).T
        pull[np.diag_indices(len(scaled))] /= 2
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
    """The kernel between (n, columns) and (m, columns), and its slope: -6/5 dk/d(r^2), each (n, m)."""
    a, b = math.sqrt(5) * a, math.sqrt(5) * b
    squared = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)
    squared -= 2 * a @ b.T
    r = np.sqrt(np.abs(squared, out=squared))  # rounding leaves a little less than 0 for no distance
    slope = np.exp(-r)
    squared *= slope
    r += 1
    slope *= r
    squared *= 1 / 3
    squared += slope
    return squared, slope
