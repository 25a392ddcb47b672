"""The highest of many scores, found by the lowest score that is among them, in a tenth of a sort's time."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor

from hebbevo.nn.bit_masks import bits_of, chosen


def highest_by_threshold(score: Tensor, number: Tensor, among: Tensor, axes: int) -> Tensor:
    """Find the ``number`` entries of each network with the highest scores; NaN is the lowest score.

    Of equal scores those of lower indices are taken. Values are read on the host, network by network.

    >>> score, among = torch.tensor([3.0, 1.0, 2.0, 4.0]), torch.tensor([True, True, True, False])
    >>> highest_by_threshold(score, torch.tensor([2]), among, axes=1).tolist()
    [True, False, True, False]

    Args:
        score: (..., *shape), on a CPU.
        number: how many, (..., *ones) int64.
        among: which entries may be taken, of the shape of ``score``, bool.
        axes: how many axes ``shape`` has.
    """
    score = score.to(torch.promote_types(score.dtype, torch.float32))
    finite = torch.finfo(score.dtype)
    lowest = score.new_full((), -torch.inf).expand_as(score)
    ranked = chosen(bits_of(among, score), score.nan_to_num(finite.min, finite.max, finite.min), lowest)
    found = torch.zeros_like(among)
    for network in product(*map(range, score.shape[: score.dim() - axes])):
        found[network] = _highest_of_one(ranked[network], int(number[network]), among[network])
    return found


def _highest_of_one(ranked: Tensor, number: int, among: Tensor) -> Tensor:
    """The entries of one network with the highest scores; ``ranked`` is minus infinity elsewhere."""
    if number <= 0:
        return torch.zeros_like(among)
    if number >= int(among.sum()):
        return among
    values = _in_memory_order(ranked).numpy()
    values = values[values > -np.inf]  # many equal values make a partition slow
    threshold = float(np.partition(values, -number)[-number])
    above, level = ranked > threshold, ranked == threshold
    missing = number - int(above.sum())
    if int(level.sum()) > missing:  # the first ones of equal scores, so that they rank alike in every stack
        first = level.flatten().nonzero().flatten()[:missing]
        level = torch.zeros(level.numel(), dtype=torch.bool).index_fill_(0, first, True).reshape(level.shape)
    return above | level


def _in_memory_order(values: Tensor) -> Tensor:
    """All values, flat, in an order in which they need not be moved."""
    return values.permute(*sorted(range(values.dim()), key=values.stride, reverse=True)).reshape(-1)
