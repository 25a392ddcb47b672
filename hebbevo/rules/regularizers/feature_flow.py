"""Feature flow regularisation: a penalty on the length and on the curvature of the path through the layers.

After arXiv:2106.02914, for which no code was found; the discretisation is our own. With the features x_l of
layer l, |.| the sum over features of absolute values, and means over the rows of a minibatch,

    R = k1 sum |x_{l+1} - x_l| + k2 sum |x_{l+1} - 2 x_l + x_{l-1}|    (1)

where k1 is the knob ``flow_length`` and k2 the knob ``flow_curvature``. A sum has the terms whose features
have one shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hebbevo.rules.regularizers.regularizer import Regularizer
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor


class FeatureFlow(Regularizer):
    """A penalty on how far, and how unevenly, features move from layer to layer."""

    name = "feature_flow"
    knobs = table(
        Knob(
            "flow_length", float, 0.0, "k1: weight of the path's length; 0: none",
            low=0.0, sensible=(1e-6, 1e-2), log=True,
        ),
        Knob(
            "flow_curvature", float, 0.0, "k2: weight of the path's curvature; 0: none",
            low=0.0, sensible=(1e-6, 1e-2), log=True,
        ),
    )  # fmt: skip

    def penalty(self, k: Any, path: Sequence[Tensor]) -> Tensor | None:
        """Equation 1, a scalar; ``None`` where no two successive features have one shape.

        Args:
            k: knobs.
            path: features of each layer, (rows, *features).
        """
        terms: list[Tensor] = []
        for one, other in pairwise(path):
            if one.shape == other.shape:
                terms.append(k.flow_length * (other - one).abs().sum() / len(one))
        for one, middle, other in zip(path, path[1:], path[2:], strict=False):
            if one.shape == middle.shape == other.shape:
                terms.append(k.flow_curvature * (other - 2 * middle + one).abs().sum() / len(one))
        total: Tensor | None = sum(terms[1:], terms[0]) if terms else None
        return total
