"""Coactivation: connections whose two ends are seldom active together leave, and random ones enter.

The Hebbian pruning of numenta/nupic.research (https://github.com/numenta/nupic.research, pull request 53,
which has no paper). Between two events

    C_ji = mean over rows of 1[y_j > 0] 1[x_i > 0]                   (1)

At an event, with f the share of `hebbevo.rules.connections.rewiring`, those connections stay that are not
among the share f with the smallest

    coactivation:        C_ji                                        (2)
    both:                C_ji, or not among that with the smallest |w_ji|: low on both is what leaves   (3)
    weighted_magnitude:  |w_ji| C_ji                                 (4)

and as many random ones enter as have left, with weights drawn as at the start.

Changes against the original: one share serves both criteria of (3), and it may follow a schedule, where
theirs ends at a milestone of the learning rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.connections.rewiring import GROWTH_STREAM, NEEDS, Rewiring, he_uniform, rewiring_knobs
from hebbevo.rules.connections.rule import ConnectionLayer
from hebbevo.rules.rule import Buffer, Need, Needs
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

COACTIVATION, BOTH, WEIGHTED_MAGNITUDE = CRITERIA = ("coactivation", "both", "weighted_magnitude")


class Coactivation(Rewiring):
    """Connections whose ends are seldom active together leave, and random connections enter."""

    name = "coactivation"
    needs: ClassVar[Needs] = {Need.COACTIVATION: (), **NEEDS}
    buffers: ClassVar = {"together": Buffer()}
    sums: ClassVar = {"together": Need.COACTIVATION}  # eq. 1
    knobs = rewiring_knobs(
        Knob(
            "criterion", str, BOTH,
            "what is small in connections that leave: coactivation, it and |w| both, or their product",
            choices=CRITERIA,
        ),
    )  # fmt: skip

    def signals(self, k: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """1 where an end is active, else 0."""
        return (x > 0).to(x.dtype), (y > 0).to(y.dtype)

    def stays(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Which connections stay (eq. 2 to 4)."""
        by_score = super().stays(k, s, layer)
        number = layer.count(layer.mask) - self.swaps(k, layer)
        by_size = layer.highest(layer.weight.abs(), number, layer.mask)
        return by_score | (by_size & (k.criterion == CRITERIA.index(BOTH)))

    def drop(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """C, or |w| C."""
        weighted = layer.weight.abs() * s.together
        score: Tensor = weighted.where(k.criterion == CRITERIA.index(WEIGHTED_MAGNITUDE), s.together)
        return score

    def grow(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Random numbers."""
        return layer.draw(GROWTH_STREAM)

    def start(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Weights drawn as at the start."""
        return he_uniform(layer)
