"""Chooses points step by step, each the one that adds most hypervolume to those before it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import moocore
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def most_hypervolume(losses: Array, front: Array, reference: Array, k: int) -> list[int]:
    """Choose rows greedily by the hypervolume that each adds to ``front`` and to the rows chosen before it.

    The hypervolume is a submodular function: what a row adds can only fall as others are chosen. So a row is
    measured again only when it comes first in the queue (lazy greedy, Minoux, 1978).

    Args:
        losses: (n, objectives), to be minimised, from which rows are chosen.
        front: (m, objectives), which is there from the start.
        reference: (objectives,), the reference point of the hypervolume.
        k: number of rows.

    Returns:
        Up to ``k`` row numbers in the order of choice. Rows that add nothing are not chosen.

    Examples:
        >>> losses = np.array([[0.1, 0.9], [0.2, 0.2], [0.3, 0.3]])
        >>> most_hypervolume(losses, np.array([[0.5, 0.5]]), reference=np.array([1.0, 1.0]), k=3)
        [1, 0]
    """
    volume_of = _measure(reference)
    chosen: list[int] = []
    known = np.vstack([front, losses])
    there, volume = len(front), volume_of(front)
    waiting = [(-math.inf, row) for row in range(len(losses))]
    while waiting and len(chosen) < k:
        _, row = heapq.heappop(waiting)
        known[there] = losses[row]
        gain = volume_of(known[: there + 1]) - volume
        if waiting and gain < -waiting[0][0]:
            heapq.heappush(waiting, (-gain, row))
        elif gain <= 0:
            break
        else:
            chosen.append(row)
            there, volume = there + 1, volume + gain
    return chosen


def reference_point(losses: Array, margin: float) -> Array:
    """A reference point, (objectives,), a little worse than the front of ``losses``, (n, objectives).

    It lies beyond the worst losses of the front by ``margin`` of the ranges of the front and of all losses.
    So the ends of the front add hypervolume too.
    """
    front = losses[moocore.is_nondominated(losses)] if losses.shape[1] > 1 else losses.min(keepdims=True)
    worst: Array = front.max(axis=0) + margin * (np.ptp(front, axis=0) + np.ptp(losses, axis=0))
    return worst


def _measure(reference: Array) -> Callable[[Array], float]:
    """The function that measures the hypervolume of (n, objectives)."""
    if len(reference) == 1:
        return lambda losses: float(max(reference[0] - losses.min(), 0.0))
    measure: Callable[[Array], float] = moocore.Hypervolume(reference)
    return measure
