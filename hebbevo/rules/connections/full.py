"""Full: every connection is in, always."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.connections.rule import ConnectionLayer, ConnectionRule
from hebbevo.space.knobs import table

if TYPE_CHECKING:
    from torch import Tensor


class Full(ConnectionRule):
    """No connection is ever pruned."""

    name = "full"
    knobs = table()
    prunes = False

    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Never."""
        return step < 0

    def wanted(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """All that are in."""
        return layer.mask
