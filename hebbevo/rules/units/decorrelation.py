"""Decorrelation: of two units whose outputs are highly correlated, the weaker one is pruned.

With rho_ij the correlation of two units of a layer, and c_j = sigma_j ||w_out,j|| the contribution of a unit,
its standard deviation times the norm of the weights that read it:

    V_j = c_j sqrt(1 - max_i rho_ij^2), i over the living units with c_i > c_j    (1)
    score_j = V_j / mean_i V_i    (2)

The root is the part of the unit's deviation that the stronger unit most like it does not predict. So this is
`hebbevo.rules.units.usage` with one other unit in the place of all, at the price of a correlation. Without
c_j a unit that hardly ever fires would be kept, since it is like no other. Babaeizadeh, Smaragdis & Campbell,
2016, arXiv:1611.06211 (NoiseOut) too prune one unit of the most correlated pair; they also give its outgoing
weights to the other, which the engine does not.

Where the layer that feeds the units learns by similarity matching, rho is that of its lateral inhibition, so
that of the units' inputs about zero. That is so under `hebbevo.rules.credit.similarity_matching`, and behind
`SimilarityMatchingLinear`, `SimilarityMatching2d` and `SimilarityMatchingNetwork`. Everywhere else rho is
that of outputs in minibatches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, over_mean, unit_knobs

if TYPE_CHECKING:
    from torch import Tensor


class Decorrelation(UnitRule):
    """What a unit contributes that the stronger unit most like it does not, over the layer's mean."""

    name = "decorrelation"
    needs: ClassVar[Needs] = {Need.CORRELATION: (), Need.OUTGOING: ()}
    knobs = unit_knobs(scheduled=schedule.TARGET, needs=needs)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 2, (..., n), 0 for pruned units."""
        contribution = layer.variance.sqrt() * layer.outgoing
        # of equally strong units the first one counts as the stronger
        place = contribution.argsort(descending=True, stable=True).argsort()
        stronger = place.unsqueeze(-2) < place.unsqueeze(-1)  # [j, i]: unit i is stronger than j
        rivals = stronger & layer.alive.unsqueeze(-2)
        lateral = layer.lateral_correlation
        correlation = layer.correlation if lateral is None else lateral
        explained = (correlation.square().clamp(max=1) * rivals).amax(-1)
        return over_mean(contribution * (1 - explained).sqrt(), layer.alive)  # eq. 1, 2
