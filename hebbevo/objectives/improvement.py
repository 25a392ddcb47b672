"""How much points would increase the hypervolume of a front, many at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_Box = tuple[tuple[float, ...], tuple[float, ...]]


class HypervolumeImprovement:
    """The increase in hypervolume by each of many points, for any number of losses.

    What no point of the front dominates is divided into boxes. A point adds the part of each box that it
    dominates. With two losses these are the stairs below the front (Emmerich et al., 2006,
    doi:10.1109/TEVC.2005.859463); with more, a box reaches over all slabs of the last loss in which it stays
    the same.

    >>> improvement = HypervolumeImprovement(np.array([[1.0, 2.0], [2.0, 1.0]]), reference=(4.0, 4.0))
    >>> improvement([np.array([0.0, 3.0]), np.array([1.0, 3.0])]).tolist()
    [4.0, 0.0]

    Args:
        losses: of the front, shape (n, losses), to be minimised; all better than the reference.
        reference: the reference point of the hypervolume.
    """

    def __init__(self, losses: Array, reference: tuple[float, ...]) -> None:
        boxes = _free_boxes([tuple(row) for row in losses.tolist()], reference)
        self._low, self._high = (np.array([box[end] for box in boxes]).T for end in (0, 1))

    def __call__(self, losses: Sequence[Array]) -> Array:
        """The increase by each point, of the shape of one loss.

        Args:
            losses: one array for each loss, all of one shape.
        """
        volumes: Array | None = None
        for loss, low, high in zip(losses, self._low, self._high, strict=True):
            sides = np.maximum(high - np.maximum(low, loss[..., None]), 0.0)
            volumes = sides if volumes is None else volumes * sides
        assert volumes is not None
        increases: Array = volumes.sum(axis=-1)
        return increases


def _free_boxes(points: Sequence[tuple[float, ...]], reference: tuple[float, ...]) -> list[_Box]:
    """Divide what is better than the reference, and not dominated by a point, into boxes.

    Returns:
        The lower and the upper corner of each box; a lower corner may be infinitely low.
    """
    *others, last = reference
    if not others:
        return [((-np.inf,), (min([last, *(point[0] for point in points)]),))]
    ends = sorted({point[-1] for point in points})
    found: list[_Box] = []
    begun: dict[_Box, float] = {}  # boxes of the last slab, with the loss at which each began
    for start in (-np.inf, *ends):
        inside = [point[:-1] for point in points if point[-1] <= start]
        boxes = _free_boxes(inside, tuple(others))
        found += [_prism(box, since, start) for box, since in begun.items() if box not in boxes]
        begun = {box: begun.get(box, start) for box in boxes}
    return [*found, *(_prism(box, since, last) for box, since in begun.items())]


def _prism(box: _Box, low: float, high: float) -> _Box:
    return (*box[0], low), (*box[1], high)
