"""Backward elimination: units leave one after the other, and what the others say of each is found anew."""

from __future__ import annotations

import torch
from torch import Tensor


def eliminated(
    fixed: Tensor,
    weight: Tensor,
    ridge: Tensor,
    covariance: Tensor,
    alive: Tensor,
    may_leave: Tensor | None = None,
    most: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Log scores of units, in the order in which they leave: each time the one with the lowest score leaves.

    With C the covariance of the units that are left, ridge times the mean variance added to its diagonal,

        log score_j = fixed_j + weight log(1 - R_j^2)    (1)
        1 - R_j^2 = 1 / (C_jj [C^-1]_jj)    (2)

    R_j^2 is the share of unit j's variance that the others predict by least squares. When unit i leaves, the
    inverse for those that are left is (Frantar & Alistarh, 2022, arXiv:2208.11580, lemma 1)

        C^-1 <- C^-1 - c_i c_i^T / [C^-1]_ii, c_i column i of C^-1    (3)

    A unit that leaves later never has a lower score than one that left before.

    Args:
        fixed: what does not depend on other units, (..., n); -inf: a unit that leaves first.
        weight: of the logarithm, 0 or more, (..., 1).
        ridge: (..., 1), 0 or more.
        covariance: of the units, (..., n, n).
        alive: which units live, (..., n) bool; the others keep their fixed scores.
        may_leave: which of them may leave, (..., n) bool; ``None``: all.
        most: of how many units that leave the scores must be exact; once one fewer have left, the scores of
            the others are as if each left next. ``None``: of all.

    Returns:
        The scores, (..., n), and the scores as if each unit left first, (..., n), in double precision.

    >>> twins = torch.tensor([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> one, none, alive = torch.ones(1), torch.zeros(1), torch.ones(3, dtype=torch.bool)
    >>> fixed = torch.tensor([0.1, 0.0, 0.0])
    >>> scores, as_first = eliminated(fixed, one, none, twins, alive)
    >>> scores.argsort().tolist(), as_first.argsort().tolist()  # after one of the twins the other is needed
    ([1, 2, 0], [1, 0, 2])
    """
    shape, n = fixed.shape, fixed.shape[-1]
    fixed, alive = fixed.reshape(-1, n).double(), alive.reshape(-1, n)
    weight, ridge = weight.reshape(-1, 1).double(), ridge.reshape(-1, 1)
    # units that do not live are independent of all others
    pairs = alive.unsqueeze(-1) & alive.unsqueeze(-2)
    c = torch.where(pairs, covariance.reshape(-1, n, n).double(), 0)
    diagonal = c.diagonal(dim1=-2, dim2=-1)
    mean_variance = diagonal.sum(-1, keepdim=True) / alive.sum(-1, keepdim=True).clamp(min=1)
    diagonal.add_(ridge * mean_variance).clamp_(min=1e-12).masked_fill_(~alive, 1)
    inverse = torch.linalg.inv_ex(c).inverse
    of_unit = inverse.diagonal(dim1=-2, dim2=-1)  # [C^-1]_jj, a view

    def as_if_next() -> Tensor:
        return torch.addcmul(fixed, weight, (diagonal * of_unit).clamp(min=1).log(), value=-1)  # eq. 1, 2

    scores = as_first = torch.where(alive, as_if_next(), fixed)
    out = ~alive if may_leave is None else ~(alive & may_leave.reshape(-1, n))
    network = torch.arange(len(fixed), device=fixed.device).unsqueeze(-1)
    for _ in range((n if most is None else min(most, n)) - 1):
        lowest, unit = scores.masked_fill(out, torch.inf).min(-1, keepdim=True)
        out = out.scatter(-1, unit, True)
        row = inverse[network, unit]  # c_i^T, (networks, 1, n)
        pivot = row.gather(-1, unit.unsqueeze(-1)).clamp(min=1e-30)
        inverse.baddbmm_(row.mT, row / pivot, alpha=-1)  # eq. 3
        scores = torch.where(out, scores, as_if_next().maximum(lowest))
    return scores.reshape(shape), as_first.reshape(shape)
