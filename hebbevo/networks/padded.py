"""Networks of one family with different widths in one form, so that they train in one stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hebbevo.networks.architecture import Architecture
from hebbevo.networks.settings import Settings
from hebbevo.space.knobs import Value

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Padded:
    """Networks of a family, each with as many units as the widest of them.

    The units beyond a network's own have weights and biases of zero. Behind a rectifier their outputs are
    zero: neither a signal nor a gradient passes them, and every step of an optimiser leaves them zero.
    What a network computes is the same as without them, up to float rounding.

    Attributes:
        architecture: the family, without a rule that prunes, masks or regrows.
        channels: channels of each convolution, at least those of any network.
        hidden: neurons of each hidden layer, likewise.

    Examples:
        >>> family = Architecture("mlp", (2,), "dense", False, (3,), 2)
        >>> net = Padded(family, channels=(), hidden=(4,)).build({"hidden": [2]}, seed=1)
        >>> (net.head.weight != 0).sum(0).tolist()
        [2, 2, 0, 0]
    """

    architecture: Architecture
    channels: tuple[int, ...]
    hidden: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Architecture.shape`."""
        return self.architecture.shape

    @property
    def has_user_code(self) -> bool:
        """Whether code of the user builds it: never."""
        return False

    def build(self, settings: Settings, seed: int) -> nn.Module:
        """Build the network of these settings, and fill it up with units that do nothing."""
        import torch

        own = self.architecture.build(settings, seed)
        widths: dict[str, Value] = {"channels": [*self.channels], "hidden": [*self.hidden]}
        wide = self.architecture.build({**settings, **widths}, seed)
        weights = dict(own.named_parameters())
        with torch.no_grad():
            for name, padded in wide.named_parameters():
                weight = weights[name]
                padded.zero_()[tuple(map(slice, weight.shape))] = weight
        return wide

    def prunes(self, settings: Settings) -> bool:
        """Whether a rule may prune units or connections: never."""
        return False

    def has_argument(self, name: str) -> bool:
        """Whether the network itself takes a setting of this name as an argument: none."""
        return False
