"""Usage: a unit is used if its output varies, something reads it, and no other unit says the same.

With sigma_j the standard deviation of unit j's output, w_out,j the weights that read it, and R_j^2 the share
of its variance that the other living units of the layer predict by least squares:

    U_j = ||w_out,j||^2 sigma_j^2 (1 - R_j^2)    (1)
    score_j = U_j / mean_i U_i, i over the living units    (2)

U_j is the error in the inputs of the next layer after unit j has left and the others have taken over what
they can: the saliency of the optimal brain surgeon (Hassibi & Stork, 1993, NeurIPS 5, equation 5) for the
outputs of a layer. Units leave one after the other, and R^2 is found anew for those that are left
(`hebbevo.nn.elimination`). ``ridge`` keeps R^2 below 1 where few rows have been seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import RIDGE, UnitLayer, UnitRule, mean_of_living, unit_knobs

if TYPE_CHECKING:
    from torch import Tensor


class Usage(UnitRule):
    """What the next layer loses for good if the unit leaves, over the layer's mean."""

    name = "usage"
    needs: ClassVar[Needs] = {Need.CORRELATION: (), Need.OUTGOING: ()}
    knobs = unit_knobs(RIDGE, scheduled=schedule.TARGET, needs=needs)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 2, (..., n), 0 for pruned units."""
        contribution = 2 * layer.outgoing.log() + layer.variance.log()
        one = k.ridge.new_ones(k.ridge.shape)
        usage, at_first = (each.exp() for each in layer.by_elimination(contribution, one, k.ridge))  # eq. 1
        return usage * layer.alive / mean_of_living(at_first, layer.alive).clamp(min=1e-30)  # eq. 2
