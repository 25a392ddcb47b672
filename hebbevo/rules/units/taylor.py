"""Taylor: the units whose removal changes the loss least, to first order, are pruned.

A gate g_j = 1 multiplies all that unit j adds to the layers that read it. With w the weights of these layers
that read unit j, the loss L of a minibatch has by this gate the gradient

    dL/dg_j = sum_w w dL/dw    (1)

Removal is g_j = 0, and changes the loss by about -dL/dg_j. The score is the mean square of that over
minibatches:

    score_j = E[(dL/dg_j)^2] / mean_i E[(dL/dg_i)^2], i over the living units    (2)

Molchanov et al., 2019, arXiv:1906.10771, section 3.2, first order, with gates: there too the gradient is that
of the mean loss of a minibatch, and squares are averaged over the minibatches between two prunings. Here the
average is a running one. Molchanov et al., 2017, arXiv:1611.06440, average sizes in place of squares.
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
    needs: ClassVar[Needs] = {Need.GATE_GRADIENT: (), Need.EXCLUSIVE: ()}  # or eq. 1 is not all of dL/dg
    knobs = unit_knobs(scheduled=schedule.TARGET, needs=needs)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 2, (..., n), 0 for pruned units."""
        return over_mean(layer.gate_gradient, layer.alive)  # eq. 2
