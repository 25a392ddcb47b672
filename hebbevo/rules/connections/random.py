"""Random: chance prunes connections gradually, the control of `magnitude`.

The number that is left is that of `hebbevo.rules.connections.gradual`. "Random" in JaxPruner (Lee et al.,
2023, arXiv:2304.14082).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.connections.gradual import Gradual
from hebbevo.rules.connections.rule import ConnectionLayer

if TYPE_CHECKING:
    from torch import Tensor


class Random(Gradual):
    """Random connections leave, ever more of them along a cubic path."""

    name = "random"

    def drop(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Random numbers; connections of pruned units, whose weights are zero, leave first."""
        return layer.draw(0) * (layer.weight != 0)
