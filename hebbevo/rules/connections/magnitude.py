"""Magnitude: the smallest weights are pruned gradually.

Zhu & Gupta, 2017, arXiv:1710.01878: along the cubic path of `hebbevo.rules.connections.gradual`, the
connections with the smallest |w| leave, and no other enters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.connections.gradual import Gradual
from hebbevo.rules.connections.rule import ConnectionLayer

if TYPE_CHECKING:
    from torch import Tensor


class Magnitude(Gradual):
    """The connections with the smallest absolute weights leave, ever more of them along a cubic path."""

    name = "magnitude"

    def drop(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """|w|: the smallest weights leave."""
        return layer.weight.abs()
