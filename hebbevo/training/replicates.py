"""Which of a trial's replicates stands for them."""

from __future__ import annotations

from collections.abc import Sequence


def median_replicate(accuracies: Sequence[float]) -> int:
    """Number of the replicate of median accuracy: a network as the trial has them on the whole.

    Of an even number it is the lower one of the middle two, and of equal ones the first.

    >>> median_replicate([0.9, 0.7, 0.8]), median_replicate([0.9, 0.7])
    (2, 1)
    """
    order = sorted(range(len(accuracies)), key=lambda number: accuracies[number])
    return order[(len(order) - 1) // 2]
