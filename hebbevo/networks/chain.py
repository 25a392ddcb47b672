"""Networks whose modules are called one after the other."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn


class Chain(nn.Module):
    """A network that is a chain of modules, whatever its attributes are."""

    @abstractmethod
    def in_order(self) -> list[nn.Module]:
        """The modules of the network: called one after the other they are the network."""
