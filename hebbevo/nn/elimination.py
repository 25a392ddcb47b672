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
    due: Tensor | None = None,
    most: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Log scores of units, in the order in which they leave: each time the one with the lowest score leaves.

    With C the covariance of the units that are left, ridge times the mean variance added to its diagonal,

        log score_j = fixed_j + weight log(1 - R_j^2)    (1)
        1 - R_j^2 = 1 / (C_jj [C^-1]_jj)                 (2)

    R_j^2 is the share of unit j's variance that the others predict. When unit i leaves, the inverse of what
    is left is (Hassibi & Stork, 1993, NeurIPS 5, the update of their inverse Hessian)

        C^-1 <- C^-1 - c_i c_i^T / [C^-1]_ii    (3)

    A unit that leaves later never has a lower score than one that left before.

    Args:
        fixed: what does not depend on other units, (..., n).
        weight: of the logarithm, (..., 1).
        ridge: (..., 1), 0 or more.
        covariance: of the units, (..., n, n).
        alive: which units live, (..., n) bool; the others keep their fixed scores.
        due: (...) bool, the networks that are asked for; ``None``: all. The others keep their fixed scores.
        most: how many units leave; of those that are left, the scores are as if each left next.
            ``None``: all leave.

    Returns:
        The scores, (..., n), and the scores as if each unit left first, (..., n).

    >>> twins = torch.tensor([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> one, none, alive = torch.ones(1), torch.zeros(1), torch.ones(3, dtype=torch.bool)
    >>> fixed = torch.tensor([0.1, 0.0, 0.0])
    >>> scores, as_first = eliminated(fixed, one, none, twins, alive)
    >>> scores.argsort().tolist(), as_first.argsort().tolist()  # after one of the twins the other is needed
    ([1, 2, 0], [1, 0, 2])
    """
    lead, n = fixed.shape[:-1], fixed.shape[-1]
    rows = slice(None) if due is None or not lead else due.flatten().nonzero().flatten()
    own_alive = alive.reshape(-1, n)[rows]
    own_fixed = fixed.reshape(-1, n)[rows].double()
    own_weight = weight.expand(*lead, 1).reshape(-1, 1)[rows].double()
    own_ridge = ridge.expand(*lead, 1).reshape(-1, 1)[rows].double()
    c = covariance.reshape(-1, n, n)[rows].double()
    pairs = own_alive.unsqueeze(-1) & own_alive.unsqueeze(-2)
    variance = c.diagonal(dim1=-2, dim2=-1).clamp(min=0) * own_alive
    mean_variance = variance.sum(-1, keepdim=True) / own_alive.sum(-1, keepdim=True).clamp(min=1)
    diagonal = (variance + own_ridge * mean_variance).clamp(min=1e-12)
    diagonal = torch.where(own_alive, diagonal, 1)  # units that do not live are independent of all others
    c = torch.where(pairs, c, 0)
    c.diagonal(dim1=-2, dim2=-1).copy_(diagonal)
    inverse = torch.linalg.inv_ex(c).inverse
    left = own_alive.clone()
    floor = torch.full_like(own_weight, -torch.inf)
    infinite = torch.full_like(own_fixed, torch.inf)

    def as_if_next() -> Tensor:
        unexplained = 1 / (diagonal * inverse.diagonal(dim1=-2, dim2=-1)).clamp(min=1)  # eq. 2
        found = own_fixed + own_weight * unexplained.clamp(min=1e-12).log()  # eq. 1
        return torch.where(left, torch.maximum(found, floor), infinite)

    scores = as_first = torch.where(left, as_if_next(), own_fixed)
    for _ in range(min(n if most is None else most, n)):
        lowest, place = as_if_next().min(-1, keepdim=True)
        leaves = left & torch.zeros_like(left).scatter(-1, place, True)
        scores = torch.where(leaves, lowest, scores)
        floor = torch.where(leaves.any(-1, keepdim=True), lowest.nextafter(infinite[:, :1]), floor)
        column = inverse.gather(-1, place.unsqueeze(-1).expand(-1, n, 1))
        pivot = column.gather(-2, place.unsqueeze(-1)).clamp(min=1e-30)
        inverse = inverse - (column / pivot) @ column.mT  # eq. 3
        left = left & ~leaves
    scores = torch.where(left, as_if_next(), scores)
    found = []
    for own in (scores, as_first):
        whole = fixed.reshape(-1, n).double()
        whole[rows] = own
        found.append(whole.reshape(fixed.shape))
    return found[0], found[1]
