"""Frequency: the units that fire least often are pruned, as far as the evidence outweighs a prior.

Before a unit has been seen, it is believed to fire as often as the living units of its layer do on average,
with probability pi. The belief is a Beta distribution that is worth ``belief`` forward steps of evidence.
With f_j the share of rows in which unit j has fired in t_j steps, the mean of the posterior is

    (belief pi + t_j f_j) / (belief + t_j)    (1)

and the score is this mean over pi. A unit that was just regrown scores 1, and the layer's mean is about 1.
Both f_j and t_j are decayed sums, so that old steps are forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, unit_knobs
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

_KNOBS = (
    Knob(
        "belief", float, 10.0, "steps of evidence that the prior, the layer's mean firing rate, is worth",
        low=0.0, sensible=(0.1, 100.0), log=True,
    ),
)  # fmt: skip


class Frequency(UnitRule):
    """The posterior mean of a unit's firing rate, in units of the layer's mean rate."""

    name = "frequency"
    needs: ClassVar[Needs] = {Need.FIRING_RATE: ()}
    knobs = unit_knobs(*_KNOBS, scheduled=schedule.TARGET, needs=needs)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 1 over the prior, (..., n)."""
        rate = layer.firing_rate
        seen = layer.alive * (s.seen > 0)
        prior = ((rate * seen).sum(-1, keepdim=True) / seen.sum(-1, keepdim=True).clamp(min=1)).clamp(
            min=1e-6
        )
        posterior: Tensor = (k.belief * prior + s.seen * rate) / (k.belief + s.seen).clamp(min=1e-12)  # eq. 1
        return posterior / prior
