"""Taylor: the units whose removal changes the loss least, to first order, are pruned.

A gate g_j = 1 multiplies the output of unit j. Its removal, g_j = 0, changes the loss L of a minibatch by
about dL/dg_j, and the score is the mean square of that over minibatches:

    score_j = E[(dL/dg_j)^2] / mean_i E[(dL/dg_i)^2], i over the living units    (1)

Molchanov et al., 2019, arXiv:1906.10771, section 3.2 and equation 8, with gates behind the units. The mean is
a running one over training steps. Molchanov et al., 2017, arXiv:1611.06440, take the mean of sizes instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, over_mean, unit_knobs

if TYPE_CHECKING:
    from torch import Tensor


class Taylor(UnitRule):
    """The mean squared gradient of the loss by a gate on the unit, over the layer's mean."""

    name = "taylor"
    needs: ClassVar[Needs] = {Need.GATE_GRADIENT: (), Need.OUTGOING: ()}
    knobs = unit_knobs(scheduled=schedule.TARGET, needs=needs)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 1, (..., n), 0 for pruned units."""
        return over_mean(layer.gate_gradient, layer.alive)  # eq. 1
