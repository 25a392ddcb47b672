"""The trade-off in numbers: dominance, the front, and the hypervolume below it.

A point is (accuracy, survivors): accuracy is to be high, survivors are to be few.
"""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def front(points: Points) -> NDArray[np.intp]:
    """Find the points that no other point beats on both counts.

    ``points`` is (n, 2), accuracy and survivors. Returns their (k,) row numbers by survivors ascending;
    of equal points the first only, and never a row that holds a NaN or an infinity.
    """
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    if not finite.size:
        return finite
    unbeaten = moocore.is_nondominated(points[finite], maximise=[True, False], keep_weakly=False)
    best: NDArray[np.intp] = finite[unbeaten]
    return best[np.argsort(points[best, 1])]


def hypervolume(points: Points, reference_accuracy: float, neurons: int) -> float:
    """Measure the share, 0 to 1, of the better-than-reference region that the points dominate.

    ``points`` is (n, 2), accuracy and survivors. The reference is (``reference_accuracy``, all ``neurons``),
    so the area over (accuracy, survivors / neurons) is divided by (1 - ``reference_accuracy``): 1 is full
    accuracy with no neuron, and a point no better than the reference adds nothing. ``reference_accuracy``
    is in [0, 1), as a rule the chance accuracy.
    """
    best = points[front(points)]
    if not len(best):
        return 0.0
    shares = best / [1.0, neurons]
    area = moocore.hypervolume(shares, ref=[reference_accuracy, 1.0], maximise=[True, False])
    return float(area) / (1.0 - reference_accuracy)


def hypervolume_history(points: Points, reference_accuracy: float, neurons: int) -> NDArray[np.float64]:
    """Follow the hypervolume as the points arrive: the (n,) values after each of the (n, 2) points."""
    history = np.zeros(len(points))
    best, value = points[:0], 0.0
    for position, point in enumerate(points):
        beaten = (best[:, 0] >= point[0]) & (best[:, 1] <= point[1])
        if np.isfinite(point).all() and not beaten.any():
            best = np.vstack([best, point])
            best = best[front(best)]
            value = hypervolume(best, reference_accuracy, neurons)
        history[position] = value
    return history
