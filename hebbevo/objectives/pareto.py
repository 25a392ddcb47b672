"""Pareto fronts of accuracy against one count or several: dominance and hypervolume.

A point is (accuracy, survivors), or has further counts behind these two. One point dominates another if it is
no worse in all of them and better in one: more accurate, or with a smaller count.
"""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


def front(points: Points) -> NDArray[np.intp]:
    """Find the points that no other point dominates.

    >>> front(np.array([[0.9, 30.0], [0.8, 40.0], [0.7, 10.0]])).tolist()
    [2, 0]

    >>> front(np.array([[0.9, 30.0, 80.0], [0.9, 30.0, 70.0], [0.8, 30.0, 60.0]])).tolist()
    [2, 1]

    Args:
        points: shape (n, measures), accuracy and counts. Rows with a NaN or an infinity are never on the
            front.

    Returns:
        Row numbers, shape (k,), by survivors ascending, then by the further counts; of equal points only the
        first.
    """
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    if not finite.size:
        return finite
    nondominated = moocore.is_nondominated(
        points[finite], maximise=_improves_upwards(points), keep_weakly=False
    )
    rows: NDArray[np.intp] = finite[nondominated]
    return rows[np.lexsort(points[rows, :0:-1].T)]


def hypervolume(points: Points, reference_accuracy: float, neurons: ArrayLike) -> float:
    """Measure the share of the region better than a reference that the points dominate, 0 to 1.

    The reference is the point (``reference_accuracy``, ``neurons``). The hypervolume (Zitzler and Thiele,
    1998) is the area over (accuracy, survivors / neurons) between the reference and the front, or the volume
    where there are further counts. It is divided by 1 - ``reference_accuracy``, so that 1 means full accuracy
    without a neuron.

    >>> hypervolume(np.array([[1.0, 50.0], [0.5, 0.0]]), reference_accuracy=0.0, neurons=100)
    0.75
    >>> hypervolume(np.array([[1.0, 50.0, 10.0]]), reference_accuracy=0.0, neurons=(100, 40))
    0.375

    Args:
        points: shape (n, measures), accuracy and counts. A point no better than the reference adds nothing.
        reference_accuracy: in [0, 1), as a rule the chance accuracy.
        neurons: number of neurons of the unpruned network; with further counts, one number for each count.
    """
    best = points[front(points)]
    if not len(best):
        return 0.0
    shares = best / np.append(1.0, neurons)
    reference = [reference_accuracy, *[1.0] * (points.shape[1] - 1)]
    area = moocore.hypervolume(shares, ref=reference, maximise=_improves_upwards(points))
    return float(area) / (1.0 - reference_accuracy)


def hypervolume_history(points: Points, reference_accuracy: float, neurons: ArrayLike) -> NDArray[np.float64]:
    """The hypervolume of the points so far, after each of them.

    Args:
        points: shape (n, measures), accuracy and counts, in the order of their arrival.
        reference_accuracy: as for `hypervolume`.
        neurons: as for `hypervolume`.

    Returns:
        Shape (n,).
    """
    history = np.zeros(len(points))
    best, value = points[:0], 0.0
    for position, point in enumerate(points):
        dominated = (best[:, 0] >= point[0]) & (best[:, 1:] <= point[1:]).all(axis=1)
        if np.isfinite(point).all() and not dominated.any():  # only then does the front change
            best = np.vstack([best, point])
            best = best[front(best)]
            value = hypervolume(best, reference_accuracy, neurons)
        history[position] = value
    return history


def _improves_upwards(points: Points) -> list[bool]:
    """For each measure whether more of it is better: accuracy alone."""
    return [True, *[False] * (points.shape[1] - 1)]
