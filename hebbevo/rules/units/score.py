"""Score: a family of scores, with an exponent for each thing that is known of a unit.

Of unit j, w_out,j are the weights that read it, sigma_j is the standard deviation of its output, and a_j the
mean size of that. R_j^2 is the share of its variance that the other living units predict by least squares,
and f_j the share of rows in which it fires:

    log V_j = p log ||w_out,j|| + q log sigma_j + r log(1 - R_j^2) + s log a_j + u log f_j    (1)
    score_j = V_j / mean_i V_i, i over the living units    (2)

A unit whose output does not vary scores 0, whatever the exponents are. Units leave one after the other, and
R^2 is found anew for those that are left. Corners of the family rank the units as other rules do:

- ``contribution``: p = q = 1
- ``usage``: p = q = 1, r = 1/2
- ``stamina`` without a penalty: s = 1
- ``frequency``: u = 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Asked, Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import RIDGE, UnitLayer, UnitRule, mean_of_living, unit_knobs
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

_KNOBS = (
    Knob("p", float, 1.0, "exponent of the norm of the outgoing weights", low=0.0, sensible=(0.0, 2.0)),
    Knob("q", float, 1.0, "exponent of the output's standard deviation", low=0.0, sensible=(0.0, 2.0)),
    Knob(
        "r", float, 0.5, "exponent of the share of the variance that no other unit predicts",
        low=0.0, sensible=(0.0, 1.0),
    ),
    Knob("s", float, 0.0, "exponent of the output's mean size", sensible=(-1.0, 1.0)),
    Knob("u", float, 0.0, "exponent of the firing rate", sensible=(-1.0, 1.0)),
    RIDGE,
)  # fmt: skip


class Score(UnitRule):
    """A product of powers of what is known of a unit, over the layer's mean."""

    name = "score"
    needs: ClassVar[Needs] = {
        Need.OUTGOING: (Asked("p"),),
        Need.VARIANCE: (),
        Need.CORRELATION: (Asked("r"),),
        Need.MEAN_SIZE: (Asked("s"),),
        Need.FIRING_RATE: (Asked("u"),),
    }
    knobs = unit_knobs(*_KNOBS, scheduled=schedule.TARGET, needs=needs)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 2, (..., n), 0 for pruned units."""
        fixed = (  # xlogy(p, w) = p log w, and 0 where p is 0
            k.p.xlogy(layer.outgoing)
            + k.q.xlogy(layer.variance) / 2
            + k.s.xlogy(layer.mean_size)
            + k.u.xlogy(layer.firing_rate)
        ).masked_fill(layer.variance == 0, -float("inf"))
        value, at_first = (each.exp() for each in layer.by_elimination(fixed, k.r, k.ridge))  # eq. 1
        return value * layer.alive / mean_of_living(at_first, layer.alive).clamp(min=1e-30)  # eq. 2
