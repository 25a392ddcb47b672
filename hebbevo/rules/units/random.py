"""Random: units are pruned by chance. The control that every score has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, unit_knobs

if TYPE_CHECKING:
    from torch import Tensor


class Random(UnitRule):
    """Scores are drawn anew at every event, so a threshold t prunes each unit with probability t."""

    name = "random"
    knobs = unit_knobs(scheduled=schedule.TARGET)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Uniform in (0, 1), (..., n)."""
        return layer.draw()
