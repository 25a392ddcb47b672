"""Contribution: the units that move the next layer least are pruned.

With sigma_j the standard deviation of unit j's output, and w_out,j the weights that read it:

    score_j = sigma_j ||w_out,j|| / mean_i sigma_i ||w_out,i||, i over the living units    (1)

It is the standard deviation of what the unit adds to the layers that read it. A unit that is always silent,
always the same, or read by nothing scores 0. `hebbevo.rules.units.usage` also asks what other units say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, over_mean, unit_knobs

if TYPE_CHECKING:
    from torch import Tensor


class Contribution(UnitRule):
    """Standard deviation of the output times the norm of the outgoing weights, over the layer's mean."""

    name = "contribution"
    needs: ClassVar[Needs] = {Need.VARIANCE: (), Need.OUTGOING: ()}
    knobs = unit_knobs(scheduled=schedule.TARGET, needs=needs)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 1, (..., n), 0 for pruned units."""
        return over_mean(layer.variance.sqrt() * layer.outgoing, layer.alive)  # eq. 1
