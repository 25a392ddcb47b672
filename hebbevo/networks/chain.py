"""Networks whose modules are called one after the other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from torch import nn

from hebbevo.nn import ActivationNoise, StructuredNoise


class Chain(nn.Module):
    """A network that is a chain of modules, whatever its attributes are."""

    @abstractmethod
    def in_order(self) -> list[nn.Module]:
        """The modules of the network: called one after the other they are the network."""


def without_noise(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """The modules, and in the place of a sequence with noise in it the others of the sequence.

    >>> without_noise([nn.Linear(1, 2), nn.Sequential(nn.ReLU(), ActivationNoise(0.1))])
    [Linear(in_features=1, out_features=2, bias=True), ReLU()]
    """
    parts = [[*each] if type(each) is nn.Sequential else [each] for each in modules]
    return [each for own in parts for each in own if not isinstance(each, ActivationNoise | StructuredNoise)]
