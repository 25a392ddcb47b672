"""Constant fan-in: RigL under which all neurons of a layer have equally many incoming connections.

Lasby et al., 2024, "Dynamic sparse training with structured sparsity" (SRigL), arXiv:2305.02299, algorithm 1.
At an event, in a layer of n neurons with the fan-in k, where f_t is that of RigL,

    the f_t n k connections with the smallest |w| of the layer leave      (1)
    in each neuron, of all that have not stayed, those with the largest |dL/dw| enter,
    until its fan-in is k                                                 (2)

Where units are pruned, the living ones share the connections of the layer:

    k = floor(number of connections / number of living neurons)           (3)

Connections enter with weight zero. SRigL's ablation of neurons is the unit rule `ablation`: with
``units: ablation, connections: constant_fan_in`` both are at work, and (3) is SRigL's too.

Changes against the paper: none of a neuron's connections leaves but by (1); an event follows a step of the
optimiser, and does not replace it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.connections.rewiring import COSINE, FIRST_STREAM, NEEDS, Rewiring, rewiring_knobs
from hebbevo.rules.connections.rule import ConnectionLayer
from hebbevo.rules.rule import Need, Needs

if TYPE_CHECKING:
    from torch import Tensor


class ConstantFanIn(Rewiring):
    """Small weights leave, large gradients enter, and all neurons of a layer keep the same fan-in."""

    name = "constant_fan_in"
    needs: ClassVar[Needs] = {Need.DENSE_GRADIENT: (), **NEEDS}
    knobs = rewiring_knobs(drop_schedule=COSINE)

    def at_first(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """As many for each neuron, drawn at random."""
        return layer.highest_of_each(layer.draw(FIRST_STREAM), self.of_each(k, layer), layer.mask)

    def left(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """A whole fan-in for every neuron, at least one, int64."""
        fan_in = (layer.density * layer.fan_in).round().clamp(min=1).long()
        return fan_in * (layer.connections // layer.fan_in)

    def of_each(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """Equation 3, and 0 for pruned neurons, (..., outputs, 1, *ones) int64."""
        is_living = layer.count_of_each((layer.mask | True) & layer.living) > 0
        return (self.left(k, layer) // layer.count(is_living).clamp(min=1)) * is_living

    def stays(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Which connections stay: none of a pruned unit, whose share goes to the living ones."""
        return super().stays(k, s, layer) & layer.living

    def drop(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """|w| (eq. 1)."""
        return layer.weight.abs()

    def grow(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """|dL/dw| (eq. 2)."""
        return layer.gradient.abs()

    def enters(self, k: Any, s: Any, layer: ConnectionLayer, stays: Tensor) -> Tensor:
        """As many in each neuron as its fan-in lacks (eq. 2)."""
        number = self.of_each(k, layer) - layer.count_of_each(stays)
        return layer.highest_of_each(self.grow(k, s, layer), number, ~stays & layer.living)
