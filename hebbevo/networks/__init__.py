"""The networks of a search: from settings and genes to one ordinary ``nn.Module``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hebbevo import lazy_imports
from hebbevo.networks.architecture import DEFAULT_RULES, FAMILIES, LAYERED, SETTABLE, Architecture, largest
from hebbevo.networks.seeding import seeded
from hebbevo.networks.settings import Settings, split_layer

if TYPE_CHECKING:
    from torch import nn

    from hebbevo.networks.user_network import UserNetwork, arguments

__getattr__, __dir__ = lazy_imports.attach(
    __name__, {"hebbevo.networks.user_network": ("UserNetwork", "arguments")}
)

__all__ = [
    "DEFAULT_RULES",
    "FAMILIES",
    "LAYERED",
    "SETTABLE",
    "Architecture",
    "Blueprint",
    "Settings",
    "UserNetwork",
    "arguments",
    "largest",
    "seeded",
    "split_layer",
]


class Blueprint(Protocol):
    """Builds every network of a study: an `Architecture` or a `UserNetwork`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row of the data."""

    @property
    def has_user_code(self) -> bool:
        """Whether code of the user builds it: whether such nets can be stacked has to be checked."""

    def build(self, settings: Settings, seed: int) -> nn.Module:
        """Build the network with these settings and genes; ``seed`` alone decides its initial weights."""

    def prunes(self, settings: Settings) -> bool:
        """Whether units or connections of this network may be pruned, as far as is known."""

    def has_argument(self, name: str) -> bool:
        """Whether the network itself takes a setting of this name, which is then no knob of the training."""
