"""Ablation: units to which few salient connections lead are pruned.

Lasby et al., 2024, arXiv:2305.02299 (SRigL), section 3.2 and algorithm 1. Of the C connections of a layer n
are in, a share zeta of which is rewired. Those connections to living units are salient that have the n_w
largest weights or the n_g largest gradients in size:

    n_w = (1 - zeta) n,  n_g = zeta n    (1)

With a constant fan-in each living unit has n / living of these, at most as many as it has inputs:

    score_j = salient connections to unit j / min(n / living, inputs)    (2)

Were all units alike, each would score about 1. SRigL prunes units whose score is below ``salience``
(gamma_sal, 0.3). Fewer units then have more connections each, and none is pruned when all n fit in no better.

Here ``salient_weights`` is (1 - zeta) n / C and ``salient_gradients`` is zeta n / C, also in a layer without
a mask. With a mask, n is at most what is in. SRigL has gradients of all connections; here one that is out has
none.
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
        "salient_weights", float, 0.07, "salient by their weights, as a share of all connections",
        low=0.0, high=1.0, sensible=(0.01, 0.3), log=True,
    ),
    Knob(
        "salient_gradients", float, 0.03, "salient by their gradients, as a share of all connections",
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
        """Equation 2, (..., n), 0 for pruned units."""
        weights, gradients = (
            each * layer.alive.unsqueeze(-1) for each in (layer.incoming_weights, layer.incoming_gradients)
        )
        wanted = (k.salient_weights + k.salient_gradients) * layer.size * layer.fan_in
        n = wanted.minimum((weights != 0).sum((-2, -1)).unsqueeze(-1))
        part = n / wanted.clamp(min=1e-12) * layer.size * layer.fan_in
        by_weight = _largest(weights, part * k.salient_weights)  # eq. 1
        by_gradient = _largest(gradients, part * k.salient_gradients)
        salient = (by_weight | by_gradient).sum(-1)
        fan_in = (n / layer.alive.sum(-1, keepdim=True).clamp(min=1)).clamp(max=layer.fan_in)
        return salient / fan_in.clamp(min=1e-12)  # eq. 2


def _largest(values: Tensor, count: Tensor) -> Tensor:
    """Which of ``values``, (..., n, inputs), are among the ``count``, (..., 1), largest in size and not 0."""
    sizes = values.abs()
    ranked = sizes.flatten(-2).sort(-1, descending=True).values
    last = count.round().long().clamp(max=ranked.shape[-1]) - 1
    smallest = ranked.gather(-1, last.clamp(min=0)).unsqueeze(-1)
    return (sizes >= smallest) & (sizes > 0) & (last >= 0).unsqueeze(-1)
