"""Networks of a search: from settings and genes to one ordinary ``nn.Module``."""

from typing import Protocol

from torch import nn

from hebbevo.networks.architecture import FAMILIES, LAYERED, Architecture, largest, seeded
from hebbevo.networks.own import OwnNetwork, arguments
from hebbevo.networks.rules import RULES, Values
from hebbevo.nn import known_knobs

__all__ = [
    "FAMILIES",
    "LAYERED",
    "RULES",
    "Architecture",
    "Blueprint",
    "OwnNetwork",
    "arguments",
    "known_knobs",
    "largest",
    "seeded",
]


class Blueprint(Protocol):
    """What every net of a study is built by."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row of the data."""

    @property
    def own(self) -> bool:
        """Whether the user's code is in it, of which nobody has tested that it can be stacked."""

    def build(self, given: Values, seed: int) -> nn.Module:
        """Build the network of these genes and settings; ``seed`` alone decides its initial weights."""

    def claims(self, name: str) -> bool:
        """Whether a gene or setting of this name is the blueprint's own, and none of the training's."""
