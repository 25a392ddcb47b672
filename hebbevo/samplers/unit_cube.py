"""Points of the unit cube, in which samplers work, and the reflection of what lies outside it.

`hebbevo.space.Space` maps a point of the cube to a genome and back; every gene is one axis.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Point = NDArray[np.float64]
"""A point of the unit cube, shape (dimension,)."""

_Coordinate = TypeVar("_Coordinate", float, NDArray[np.float64])


def reflected(x: _Coordinate) -> _Coordinate:
    """Reflect coordinates at 0 and 1, as often as it takes to bring them into [0, 1].

    The result is a multiple of 2^-53, so that a coordinate inside the cube may change in its last bits.

    Examples:
        >>> [round(reflected(x), 3) for x in (0.25, 1.25, -0.25, 2.25)]
        [0.25, 0.75, 0.25, 0.25]
    """
    return 1.0 - abs(1.0 - x % 2.0)


def reflected_once(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reflect coordinates at 0 and 1, once at each bound, and move what is still outside to 0.

    Unlike `reflected` this leaves coordinates inside the cube exactly as they are. The search on a model
    needs that: a gene that is not varied has to stay equal to that of its parent.

    Examples:
        >>> reflected_once(np.array([0.25, 1.25, -0.25, 2.25]))
        array([0.25, 0.75, 0.25, 0.  ])
    """
    positive = np.abs(x)
    inside: NDArray[np.float64] = np.maximum(np.minimum(positive, 2 - positive), 0.0)
    return inside
