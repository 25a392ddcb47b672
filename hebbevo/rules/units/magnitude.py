"""Magnitude: units with the smallest incoming weights are pruned.

Li et al., 2017, arXiv:1608.08710; the norm here is L2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, unit_knobs

if TYPE_CHECKING:
    from torch import Tensor


class Magnitude(UnitRule):
    """The norm of a unit's incoming weights, in units of the mean over its layer's living units."""

    name = "magnitude"
    knobs = unit_knobs(scheduled=schedule.TARGET)
    needs: ClassVar[Needs] = {Need.INCOMING: ()}

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """|w_j| / mean of |w_i| over the living i."""
        norm = layer.incoming * layer.alive
        mean = norm.sum(-1, keepdim=True) / layer.alive.sum(-1, keepdim=True).clamp(min=1)
        return norm / mean.clamp(min=1e-30)
