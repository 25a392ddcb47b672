"""ReDo: units that are dormant are recycled.

Sokar et al., 2023, arXiv:2302.12902, equation 1 and algorithm 1. With h_j the output of unit j:

    score_j = E|h_j| / mean_i E|h_i|, i over the living units    (1)

Every ``prune_period`` steps (F in the paper, 1000 there) a unit whose score is at most ``threshold`` (tau,
0.025) is drawn anew: fresh incoming weights, outgoing weights of zero, optimiser moments of zero, and steps
that the optimiser counts from then on. Under the schedule *target* the units with the lowest scores are
pruned for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, over_mean, unit_knobs
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

_THRESHOLD = Knob(
    "dormancy", float, 0.025,
    "below a threshold: a unit is recycled when its mean output over that of its layer is not above this",
    low=0.0, sensible=(0.0, 0.2),
)  # fmt: skip


class ReDo(UnitRule):
    """The mean output of a unit over that of its layer; what is dormant is recycled."""

    name = "redo"
    threshold = _THRESHOLD.name
    needs: ClassVar[Needs] = {Need.MEAN: (), Need.INCOMING: (), Need.OWN_STEPS: ()}
    knobs = unit_knobs(scheduled=schedule.THRESHOLD, threshold=_THRESHOLD, needs=needs)
    recycles = True

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 1, (..., n), 0 for pruned units."""
        return over_mean(layer.mean, layer.alive)  # eq. 1
