"""Networks of a search: from settings and genes to one ordinary ``nn.Module``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hebbevo import lazy_imports
from hebbevo.networks.architecture import (
    DEFAULT_RULES,
    FAMILIES,
    LAYERED,
    Architecture,
    Values,
    largest,
    seeded,
)

if TYPE_CHECKING:
    from torch import nn

    from hebbevo.networks.user_network import UserNetwork, arguments

__getattr__, __dir__ = lazy_imports.names(
    __name__, {"hebbevo.networks.user_network": ("UserNetwork", "arguments")}
)

__all__ = [
    "DEFAULT_RULES",
    "FAMILIES",
    "LAYERED",
    "Architecture",
    "Blueprint",
    "UserNetwork",
    "arguments",
    "largest",
    "seeded",
]


class Blueprint(Protocol):
    """What every net of a study is built by."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row of the data."""

    @property
    def has_user_code(self) -> bool:
        """Whether the user's code is in it, of which nobody has tested that it can be stacked."""

    def build(self, given: Values, seed: int) -> nn.Module:
        """Build the network of these genes and settings; ``seed`` alone decides its initial weights."""

    def prunes(self, given: Values) -> bool:
        """Whether units or connections of this network may be pruned, as far as is known."""

    def has_argument(self, name: str) -> bool:
        """Whether a gene or setting of this name is the blueprint's own, and none of the training's."""
