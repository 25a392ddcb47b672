"""Decorrelation: of two units whose outputs are highly correlated, the weaker one is pruned.

With rho_ij the correlation of two units of a layer, and c_j = sigma_j ||w_out,j|| the contribution of a unit,
its standard deviation times the norm of the weights that read it:

    score_j = 1 - max_i |rho_ij|, i over the living units with c_i > c_j    (1)

The unit that contributes most scores 1, and a unit whose output does not vary scores 0. Babaeizadeh,
Smaragdis & Campbell, 2016, arXiv:1611.06211 (NoiseOut) too prune one unit of the most correlated pair; they
also give its outgoing weights to the other, which the engine does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, unit_knobs

if TYPE_CHECKING:
    from torch import Tensor


class Decorrelation(UnitRule):
    """One less the highest correlation with a stronger unit, from 0 to 1."""

    name = "decorrelation"
    needs: ClassVar[Needs] = {Need.CORRELATION: (), Need.OUTGOING: ()}
    knobs = unit_knobs(scheduled=schedule.TARGET, needs=needs)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 1, (..., n), 0 for pruned units."""
        contribution = layer.variance.sqrt() * layer.outgoing
        # of equally strong units the first one counts as the stronger
        place = contribution.argsort(descending=True, stable=True).argsort()
        stronger = place.unsqueeze(-2) < place.unsqueeze(-1)  # [j, i]: unit i is stronger than j
        rivals = stronger & layer.alive.unsqueeze(-2)
        highest = (layer.correlation.abs().clamp(max=1) * rivals).amax(-1)
        score: Tensor = (1 - highest) * ((layer.variance != 0) & layer.alive)  # eq. 1
        return score
