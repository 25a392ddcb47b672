"""The numbers of slots that the layers of a compact stack may have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

SLOT_MULTIPLE = 8
"""Layers have a multiple of so many slots, for which matrix products are fast."""

LEVEL_STEPS = ((1 / 2, 32_000), (1 / 3, 4_000))
"""When a further level is worth the cost of moving nets to it.

Each pair is the largest share of the weights of the level before, and the fewest weights saved. One pair must
hold.
"""


def levels(widths: tuple[int, ...], pruned: Sequence[int]) -> list[tuple[int, ...]]:
    """Choose levels, each with fewer slots than the one before, for the layers whose units are pruned.

    Args:
        widths: number of inputs, of units of each hidden layer, and of outputs.
        pruned: indices of the hidden layers whose units are pruned, from 0.

    Returns:
        Widths of each level; level 0 has a slot for every unit.

    Example:
        >>> levels((784, 300, 100, 10), [0, 1])
        [(784, 300, 100, 10), (784, 152, 56, 10), (784, 72, 24, 10), (784, 32, 16, 10), (784, 8, 8, 10)]
    """
    found = [widths]
    most = max((widths[layer + 1] for layer in pruned), default=0)
    for slots in range(most, 0, -1):
        smaller = list(widths)
        for layer in pruned:
            width = widths[layer + 1]
            # in proportion to the widest layer, rounded up to a multiple
            smaller[layer + 1] = min(width, -(-width * slots // (most * SLOT_MULTIPLE)) * SLOT_MULTIPLE)
        before, after = (sum(a * b for a, b in pairwise(each)) for each in (found[-1], smaller))
        if any(after <= share * before and before - after >= saved for share, saved in LEVEL_STEPS):
            found.append(tuple(smaller))
    return found
