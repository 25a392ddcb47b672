"""Ablation: units to which few salient connections lead are pruned.

Lasby et al., 2024, arXiv:2305.02299 (SRigL), section 3.2 and algorithm 1. A connection of a layer is salient
if its weight is among the layer's largest, or its gradient is. With ``salient_weights`` and
``salient_gradients`` as shares of the connections to living units that are salient by weight and by
gradient:

    score_j = salient connections to unit j / ((salient_weights + salient_gradients) inputs)    (1)

Were all units alike, each would score about 1. SRigL prunes units below ``threshold`` (gamma_sal, 0.3).
There the shares follow from the density d and the share zeta of connections that are rewired: d (1 - zeta)
and d zeta.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Asked, Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, unit_knobs
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

_KNOBS = (
    Knob(
        "salient_weights", float, 0.07, "share of connections that are salient by their weights",
        low=0.0, high=1.0, sensible=(0.01, 0.3), log=True,
    ),
    Knob(
        "salient_gradients", float, 0.03, "share of connections that are salient by their gradients",
        low=0.0, high=1.0, sensible=(0.0, 0.1),
    ),
)  # fmt: skip
_THRESHOLD = Knob(
    "salience", float, 0.3,
    "below a threshold: a unit is pruned when its share of salient connections over an equal share is not "
    "above this",
    low=0.0, sensible=(0.001, 1.0), log=True,
)  # fmt: skip


class Ablation(UnitRule):
    """The number of salient connections to a unit, over what it would be were all units alike."""

    name = "ablation"
    threshold = _THRESHOLD.name
    needs: ClassVar[Needs] = {Need.INCOMING: (), Need.INCOMING_GRADIENT: (Asked("salient_gradients"),)}
    knobs = unit_knobs(*_KNOBS, scheduled=schedule.TARGET, threshold=_THRESHOLD, needs=needs)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 1, (..., n), 0 for pruned units."""
        connections = layer.fan_in * layer.alive.sum(-1, keepdim=True)  # those to living units
        alive = layer.alive.unsqueeze(-1)
        by_weight = _largest(layer.incoming_weights * alive, connections * k.salient_weights)
        by_gradient = _largest(layer.incoming_gradients * alive, connections * k.salient_gradients)
        salient = (by_weight | by_gradient).sum(-1)
        return salient / (layer.fan_in * (k.salient_weights + k.salient_gradients)).clamp(min=1e-12)  # eq. 1


def _largest(values: Tensor, count: Tensor) -> Tensor:
    """Which of ``values``, (..., n, inputs), are among the ``count``, (..., 1), largest in size and not 0."""
    sizes = values.abs()
    ranked = sizes.flatten(-2).sort(-1, descending=True).values
    last = (count.round().long() - 1).clamp(max=ranked.shape[-1] - 1)
    smallest = ranked.gather(-1, last.clamp(min=0)).unsqueeze(-1)
    return (sizes >= smallest) & (sizes > 0) & (last >= 0).unsqueeze(-1)
