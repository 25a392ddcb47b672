"""Pareto fronts of accuracy against survivors: dominance and hypervolume.

A point is (accuracy, survivors). One point dominates another if it is no worse in both and better in one:
more accurate, or with fewer survivors.
"""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def front(points: Points) -> NDArray[np.intp]:
    """Find the points that no other point dominates.

    >>> front(np.array([[0.9, 30.0], [0.8, 40.0], [0.7, 10.0]])).tolist()
    [2, 0]

    Args:
        points: shape (n, 2), accuracy and survivors. Rows with a NaN or an infinity are never on the front.

    Returns:
        Row numbers, shape (k,), by survivors ascending; of equal points only the first.
    """
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    if not finite.size:
        return finite
    nondominated = moocore.is_nondominated(points[finite], maximise=[True, False], keep_weakly=False)
    rows: NDArray[np.intp] = finite[nondominated]
    return rows[np.argsort(points[rows, 1])]


def hypervolume(points: Points, reference_accuracy: float, neurons: int) -> float:
    """Measure the share of the region better than a reference that the points dominate, 0 to 1.

    The reference is the point (``reference_accuracy``, ``neurons``). The hypervolume (Zitzler and Thiele,
    1998) is the area over (accuracy, survivors / neurons) between the reference and the front. It is divided
    by 1 - ``reference_accuracy``, so that 1 means full accuracy without a neuron.

    >>> hypervolume(np.array([[1.0, 50.0], [0.5, 0.0]]), reference_accuracy=0.0, neurons=100)
    0.75

    Args:
        points: shape (n, 2), accuracy and survivors. A point no better than the reference adds nothing.
        reference_accuracy: in [0, 1), as a rule the chance accuracy.
        neurons: number of neurons of the unpruned network.
    """
    best = points[front(points)]
    if not len(best):
        return 0.0
    shares = best / [1.0, neurons]
    area = moocore.hypervolume(shares, ref=[reference_accuracy, 1.0], maximise=[True, False])
    return float(area) / (1.0 - reference_accuracy)


def hypervolume_history(points: Points, reference_accuracy: float, neurons: int) -> NDArray[np.float64]:
    """The hypervolume of the points so far, after each of them.

    Args:
        points: shape (n, 2), accuracy and survivors, in the order of their arrival.
        reference_accuracy: as for `hypervolume`.
        neurons: as for `hypervolume`.

    Returns:
        Shape (n,).
    """
    history = np.zeros(len(points))
    best, value = points[:0], 0.0
    for position, point in enumerate(points):
        dominated = (best[:, 0] >= point[0]) & (best[:, 1] <= point[1])
        if np.isfinite(point).all() and not dominated.any():  # only then does the front change
            best = np.vstack([best, point])
            best = best[front(best)]
            value = hypervolume(best, reference_accuracy, neurons)
        history[position] = value
    return history
