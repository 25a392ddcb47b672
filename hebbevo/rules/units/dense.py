"""Dense: no unit is ever pruned. The control that every rule has to beat, with the same settling phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.settling import NEEDS, SETTLE
from hebbevo.rules.units.rule import UnitLayer, UnitRule
from hebbevo.space.knobs import table

if TYPE_CHECKING:
    from torch import Tensor


class Dense(UnitRule):
    """All units live."""

    name = "dense"
    knobs = table(SETTLE)
    needs = NEEDS
    prunes = False

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """The same score for every unit; the engine never asks for it."""
        return layer.alive.float()

    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Never."""
        return step < 0
