"""Score: a family of scores with an exponent for each thing that is known of a unit, each a gene.

With w_out,j the weights that read unit j, sigma_j the standard deviation of its output, R_j^2 the share of
its variance that the other living units predict, a_j its mean output, and f_j the share of rows in which it
fires:

    log score_j = p log ||w_out,j|| + q log sigma_j + r log(1 - R_j^2) + s log a_j + u log f_j    (1)

less the mean over the living units, so that one threshold suits any layer. Units leave one after the other,
and R^2 is found anew for those that stay. Corners of the family rank units as other rules do:

- ``contribution``: p = 1, q = 1
- ``usage``: p = 1, q = 1, r = 1/2
- ``frequency``: u = 1
- ``stamina`` with a penalty of zero: s = 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Asked, Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import RIDGE, UnitLayer, UnitRule, log, mean_of_living, unit_knobs
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

_KNOBS = (
    Knob("p", float, 1.0, "exponent of the norm of the outgoing weights", sensible=(0.0, 2.0)),
    Knob("q", float, 1.0, "exponent of the output's standard deviation", sensible=(0.0, 2.0)),
    Knob(
        "r", float, 0.5, "exponent of the share of the variance that no other unit predicts",
        low=0.0, sensible=(0.0, 1.0),
    ),
    Knob("s", float, 0.0, "exponent of the mean output", sensible=(-1.0, 1.0)),
    Knob("u", float, 0.0, "exponent of the firing rate", sensible=(-1.0, 1.0)),
    RIDGE,
)  # fmt: skip


class Score(UnitRule):
    """A product of powers of what is known of a unit; its logarithm, less the layer's mean."""

    name = "score"
    needs: ClassVar[Needs] = {
        Need.OUTGOING: (Asked("p"),),
        Need.VARIANCE: (),
        Need.CORRELATION: (Asked("r"),),
        Need.MEAN: (Asked("s"),),
        Need.FIRING_RATE: (Asked("u"),),
    }
    knobs = unit_knobs(*_KNOBS, scheduled=schedule.TARGET, needs=needs)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 1, (..., n)."""
        fixed = (
            k.p * log(layer.outgoing)
            + 0.5 * k.q * log(layer.variance)
            + k.s * log(layer.mean)
            + k.u * log(layer.firing_rate)
        )
        score, at_first = layer.by_elimination(fixed, k.r, k.ridge)  # eq. 1
        return score - mean_of_living(at_first, layer.alive)
