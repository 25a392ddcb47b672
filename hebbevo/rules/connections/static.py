"""Static: a random mask that never changes, the control of every rule that rewires.

The first mask is drawn as under the rules that rewire. "Static" in Evci et al., 2020, arXiv:1911.11134,
"fixed sparse" in Mocanu et al., 2018, arXiv:1707.04780.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.connections.density import DENSITY, DISTRIBUTION, EPSILON
from hebbevo.rules.connections.rewiring import Rewiring
from hebbevo.rules.connections.rule import ConnectionLayer
from hebbevo.rules.rule import Needs
from hebbevo.space.knobs import table

if TYPE_CHECKING:
    from torch import Tensor


class Static(Rewiring):
    """A random mask that never changes."""

    name = "static"
    needs: ClassVar[Needs] = {}
    knobs = table(DENSITY, DISTRIBUTION, EPSILON)

    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Never."""
        return step < 0

    def swaps(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """None."""
        return layer.step * 0

    def drop(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """All alike: none leaves."""
        return layer.weight * 0
