"""Ridge regression in closed form, from sums over rows, for any number of networks at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Penalties that are tried, as parts of the variance of a standardised feature."""

_CONSTANT = 1e-12  # a feature with less variance, against its mean square, is a constant and gets no weight


@dataclass(frozen=True)
class Moments:
    """Sums over rows of features x and targets y, in float64, with any leading axes.

    Attributes:
        rows: the sum of the rows' weights, (...).
        x: sum of x, (..., features).
        y: sum of y, (..., outputs).
        xx: sum of x x^T, (..., features, features).
        xy: sum of x y^T, (..., features, outputs).
        yy: sum of y^2, (..., outputs).
    """

    rows: Tensor
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor, weights: Tensor) -> Moments:
        """Sum over rows.

        Args:
            x: features, (..., rows, features).
            y: targets, (rows, outputs).
            weights: of the rows, (rows,).
        """
        x, y, weights = x.double(), y.double(), weights.double()
        weighted = x * weights[:, None]
        return cls(
            weights.sum().expand(x.shape[:-2]),
            weighted.sum(-2),
            (y * weights[:, None]).sum(0).expand(*x.shape[:-2], -1),
            x.mT @ weighted,
            weighted.mT @ y,
            (y.square() * weights[:, None]).sum(0).expand(*x.shape[:-2], -1),
        )

    def __add__(self, other: Moments) -> Moments:
        """The sums over the rows of both."""
        return Moments(
            self.rows + other.rows, self.x + other.x, self.y + other.y,
            self.xx + other.xx, self.xy + other.xy, self.yy + other.yy,
        )  # fmt: skip


def ridge(fitted: Moments, held_out: Moments) -> tuple[Tensor, Tensor]:
    """Fit weights and a bias by ridge regression on standardised features.

    The penalty is the one of `PENALTIES` with the least squared error on the rows that are held out, each
    network its own. The weights are then fitted on all rows. A constant feature has the weight 0.

    Args:
        fitted: sums over most of the rows.
        held_out: sums over the others.

    Returns:
        Weights (..., outputs, features) and biases (..., outputs), in float64.

    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> even, odd = (Moments.of(x[rows], 2 * x[rows] + 1, torch.ones(2)) for rows in ([0, 2], [1, 3]))
    >>> weight, bias = ridge(even, odd)
    >>> weight.round(decimals=2).item(), bias.round(decimals=2).item()
    (2.0, 1.0)
    """
    penalties = torch.tensor(PENALTIES, dtype=torch.float64, device=fitted.xx.device)
    standardized = _Standardized.of(fitted)
    errors = torch.stack([_error(held_out, *standardized.solved(penalty)) for penalty in penalties])
    del standardized  # as large as the moments, of which there are others below
    return _Standardized.of(fitted + held_out).solved(penalties[errors.nan_to_num(torch.inf).argmin(0)])


@dataclass(frozen=True)
class _Standardized:
    """Moments of standardised features, for any number of penalties.

    Attributes:
        mean: of the features, (..., features).
        target: mean of the targets, (..., outputs).
        scale: 1 over the standard deviation of the features, (..., features); 0 for constants.
        correlation: of the features, (..., features, features).
        cross: covariance of standardised features and targets, (..., features, outputs).
    """

    mean: Tensor
    target: Tensor
    scale: Tensor
    correlation: Tensor
    cross: Tensor

    @classmethod
    def of(cls, moments: Moments) -> _Standardized:
        rows = moments.rows[..., None]
        mean, target = moments.x / rows, moments.y / rows
        covariance = moments.xx / rows[..., None] - mean[..., :, None] * mean[..., None, :]
        variance = covariance.diagonal(dim1=-2, dim2=-1)
        square = variance + mean.square()
        is_constant = variance <= _CONSTANT * square
        scale = torch.where(is_constant, 0, 1 / variance.clamp(min=torch.finfo(variance.dtype).tiny).sqrt())
        correlation = covariance * scale[..., :, None] * scale[..., None, :]
        cross = (moments.xy / rows[..., None] - mean[..., :, None] * target[..., None, :]) * scale[..., None]
        return cls(mean, target, scale, correlation, cross)

    def solved(self, penalty: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and biases with this penalty, (...)."""
        shifted = self.correlation.clone()
        shifted.diagonal(dim1=-2, dim2=-1).add_(penalty[..., None])
        factor, _ = torch.linalg.cholesky_ex(shifted)
        weight = (torch.cholesky_solve(self.cross, factor) * self.scale[..., None]).mT
        return weight, self.target - (weight @ self.mean[..., None])[..., 0]


def _error(moments: Moments, weight: Tensor, bias: Tensor) -> Tensor:
    """The summed squared error of these weights on rows with these moments, (...)."""
    of_x = (weight @ moments.x[..., None])[..., 0]
    with_target = (weight * moments.xy.mT).sum(-1)
    square = ((weight @ moments.xx) * weight).sum(-1)
    both = bias * (2 * of_x + moments.rows[..., None] * bias - 2 * moments.y)
    return (moments.yy - 2 * with_target + square + both).sum(-1)
