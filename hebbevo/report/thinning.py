"""Which of many points of a chart are visible: those that lie on each other are drawn once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CELLS = (150, 80)
"""Numbers of cells across and down a chart, each about as large as a mark."""
ALL = 2_000
"""So many points are drawn whether they lie on each other or not."""


def visible(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Choose one point of each small cell of a chart, the first one.

    >>> visible(np.zeros(5000), np.zeros(5000)).sum()
    np.int64(1)

    Args:
        x: places of the points across, shape (n,).
        y: places of the points upwards, shape (n,).

    Returns:
        Shape (n,); all points where there are few.
    """
    if len(x) <= ALL:
        return np.ones(len(x), dtype=bool)
    cells = [_cell(places, count) for places, count in zip((x, y), _CELLS, strict=True)]
    chosen = np.zeros(len(x), dtype=bool)
    chosen[np.unique(cells[0] * _CELLS[1] + cells[1], return_index=True)[1]] = True
    return chosen


def _cell(places: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    low, high = float(np.nanmin(places)), float(np.nanmax(places))
    share = (places - low) / ((high - low) or 1.0)
    return np.minimum(np.nan_to_num(share) * count, count - 1).astype(np.int64)
