"""The layers and units of a network, as its rules make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from hebbevo.networks.architecture import Values, of_layer
from hebbevo.nn import credited, masked, unit_layer
from hebbevo.rules import CONNECTIONS, CREDIT, UNITS, Rule
from hebbevo.space.knobs import Value

if TYPE_CHECKING:
    from hebbevo.networks.architecture import Architecture

_LAYER_SEEDS = 1000  # beyond those of units


class Layers:
    """Makes what a network is of; each part has the knobs that its rule knows, as its layer has them.

    Args:
        architecture: whose rules they follow.
        given: genes and settings.
        seed: of the network.
    """

    def __init__(self, architecture: Architecture, given: Values, seed: int) -> None:
        self._architecture = architecture
        self._given = given
        self._seed = seed
        self._last = len(architecture.channels) + len(architecture.hidden)

    def layer(self, module: nn.Module, number: int) -> nn.Module:
        """A linear layer or a convolution, from 1; the last has the knobs of the hidden layer before it."""
        connections, credit = self._architecture.connections, self._architecture.credit
        seed, of = self._seed + _LAYER_SEEDS + number, min(number, self._last)
        if number <= self._last or not CREDIT[credit].updates:  # the last layer learns the task
            module = credited(credit, module, seed=seed, **self._knobs(CREDIT[credit], of))
        return masked(connections, module, seed=seed, **self._knobs(CONNECTIONS[connections], of))

    def units(self, width: int, number: int, dim: int = -1, inputs: bool = False) -> nn.Module:
        """The units of a layer, or channels; number 0 are the inputs."""
        rule = self._architecture.units
        knobs = self._knobs(UNITS[rule], number)
        if inputs and "target" in UNITS[rule].knobs and "target.0" not in self._given:
            knobs["target"] = width  # a target is that of hidden layers
        return unit_layer(rule, width, dim=dim, inputs=inputs, seed=self._seed + number, **knobs)

    def _knobs(self, rule: Rule, number: int) -> dict[str, Value]:
        return of_layer(self._given, rule.knobs, number)
