"""Magnitude: the units with the smallest incoming weights are pruned.

Li et al., 2017, arXiv:1608.08710, section 3.1: they rank the filters of a layer by s_j = sum_i |w_ji|. Here
the norm is L2, and in units of the layer's mean, so that one threshold suits layers of any fan-in:

    score_j = ||w_j|| / mean_i ||w_i||, i over the living units    (1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, over_mean, unit_knobs

if TYPE_CHECKING:
    from torch import Tensor


class Magnitude(UnitRule):
    """The norm of a unit's incoming weights over the mean norm of the living units of its layer."""

    name = "magnitude"
    knobs = unit_knobs(scheduled=schedule.TARGET)
    needs: ClassVar[Needs] = {Need.INCOMING: ()}

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 1, (..., n), 0 for pruned units."""
        return over_mean(layer.incoming, layer.alive)  # eq. 1; an empty layer has scores of zero
