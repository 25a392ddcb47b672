"""Dense: no unit is ever pruned. The control that every rule has to beat, under the same schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.settling import SETTLE
from hebbevo.rules.units.rule import UnitLayer, UnitRule
from hebbevo.rules.units.schedule import LENGTH
from hebbevo.space.knobs import table

if TYPE_CHECKING:
    from torch import Tensor


class Dense(UnitRule):
    """All units live."""

    name = "dense"
    knobs = table(SETTLE)
    needs = LENGTH
    prunes = False

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """All are alike; the score is never asked for."""
        return layer.alive.float()

    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Never."""
        return step < 0
