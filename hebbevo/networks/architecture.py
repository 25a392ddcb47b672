"""Networks of hebbevo's own: families, and how a genome shapes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hebbevo.rules import AXES, CONNECTIONS, UNITS
from hebbevo.space.genes import MOST_LAYERS, ChoiceGene, FloatGene, Gene, GeneError, Space
from hebbevo.space.knobs import Knob, Value, table

if TYPE_CHECKING:
    from torch import nn

Values = Mapping[str, Value]

DEFAULT_RULES = {"units": "stamina", "connections": "full", "credit": "backprop"}
"""The rule of each axis where nothing is said."""

_KNOBS = table(
    Knob(
        "depth", int, 2, "hidden layers; where it is no gene, network.hidden has one width for each",
        low=1, high=MOST_LAYERS, sensible=(1, 4),
    ),
    Knob(
        "channels", int, 16, "channels of a convolution; where it is no gene, network.channels says",
        low=1, high=100_000, sensible=(4, 64), log=True,
    ),
    Knob(
        "hidden", int, 128, "neurons of a hidden layer; where it is no gene, network.hidden says",
        low=1, high=100_000, sensible=(4, 256), log=True,
    ),
    *(
        Knob(
            axis, str, DEFAULT_RULES[axis], f"rule for {axis}; where it is no gene, network.{axis} says",
            choices=tuple(known),
        )
        for axis, known in AXES.items()
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A family of networks: how to build one, and what genes may say of it, beside its rules' knobs."""

    build: Callable[[Architecture, Values, int], nn.Module]
    knobs: Mapping[str, Knob]


def _mlp(architecture: Architecture, given: Values, seed: int) -> nn.Module:
    from hebbevo.networks.mlp import MLP

    return MLP(architecture, given, seed)


def _conv(architecture: Architecture, given: Values, seed: int) -> nn.Module:
    from hebbevo.networks.conv import Conv

    return Conv(architecture, given, seed)


# a space is checked without PyTorch, which the networks themselves import
FAMILIES: dict[str, Family] = {
    "mlp": Family(_mlp, {name: knob for name, knob in _KNOBS.items() if name != "channels"}),
    "conv": Family(_conv, {name: knob for name, knob in _KNOBS.items() if name != "depth"}),
}

LAYERED = frozenset(
    {"channels", "hidden"}.union(*(rule.knobs for known in AXES.values() for rule in known.values()))
)
"""Knobs of which each layer may have its own, under the name ``knob.1``, ``knob.2``, ..."""


@dataclass(frozen=True)
class Architecture:
    """What a network is where its genome says nothing else; ``inputs`` makes inputs mortal too.

    Attributes:
        hidden: neurons of each hidden layer.
        units: the rule for them; likewise ``connections`` and ``credit``.
        shape: of one row of the data.
        channels: of each convolution.
    """

    family: str
    hidden: tuple[int, ...]
    units: str
    inputs: bool
    shape: tuple[int, ...]
    classes: int
    channels: tuple[int, ...] = ()
    connections: str = DEFAULT_RULES["connections"]
    credit: str = DEFAULT_RULES["credit"]

    @property
    def features(self) -> int:
        """Numbers in a row of the data."""
        return math.prod(self.shape)

    @property
    def neurons(self) -> int:
        """Hidden neurons and channels in all."""
        return sum(self.channels) + sum(self.hidden)

    def shaped(self, given: Values) -> Architecture:
        """The architecture with the ``depth``, the widths and the rules among ``given``."""

        def widths(key: str, fixed: tuple[int, ...], depth: int) -> tuple[int, ...]:
            return tuple(
                int(of_layer(given, [key], layer).get(key) or fixed[layer - 1])
                for layer in range(1, depth + 1)
            )

        return replace(
            self,
            channels=widths("channels", self.channels, len(self.channels)),
            hidden=widths("hidden", self.hidden, int(given.get("depth", len(self.hidden)))),
            units=str(given.get("units", self.units)),
            connections=str(given.get("connections", self.connections)),
            credit=str(given.get("credit", self.credit)),
        )

    def build(self, given: Values, seed: int) -> nn.Module:
        """Build the network that this becomes with the genes and settings ``given``.

        ``seed`` alone decides its initial weights; PyTorch's generator stays as it was.
        """
        with seeded(seed):
            return FAMILIES[self.family].build(self.shaped(given), given, seed)

    def prunes(self, given: Values) -> bool:
        """Whether a rule of this network may prune units or connections."""
        shaped = self.shaped(given)
        return UNITS[shaped.units].prunes or CONNECTIONS[shaped.connections].prunes

    @property
    def has_user_code(self) -> bool:
        """Whether the user's code is in it: no."""
        return False

    def has_argument(self, name: str) -> bool:
        """Nothing of the trainings' own."""
        return False


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let PyTorch's generator of the CPU draw from ``seed``, then bring it back to where it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs as well
        yield


def of_layer(values: Values, names: Iterable[str], layer: int) -> dict[str, Value]:
    """What a layer has under these names: its own value, else that of every layer; 0 are the inputs."""
    return {name: values[key] for name in names for key in (name, f"{name}.{layer}") if key in values}


def largest(architecture: Architecture, space: Space) -> Architecture:
    """The network of most neurons that a genome of ``space`` can make of ``architecture``.

    It is a bound where conditions decide whether a gene gives the widths: each layer is then the wider one.

    Raises:
        GeneError: a genome can have a layer whose width nothing says.
    """
    named = {gene.name: gene for gene in space.genes}
    depth = named.get("depth")
    depths: list[Value | None] = [*_values(depth)] if depth else []
    if depth is None or depth.when:
        depths.append(None)  # as many layers as the architecture has
    channels = _bound("channels", architecture.channels, named, None)
    bounds = [
        replace(architecture, channels=channels, hidden=_bound("hidden", architecture.hidden, named, each))
        for each in depths
    ]
    return max(bounds, key=lambda bound: bound.neurons)


def _bound(
    key: str, fixed: tuple[int, ...], named: Mapping[str, Gene], depth: Value | None
) -> tuple[int, ...]:
    """The largest width of every layer that the gene ``key`` is for, in networks of this depth."""
    bounds = []
    for layer in range(1, (len(fixed) if depth is None else int(depth)) + 1):
        gene = named.get(f"{key}.{layer}", named.get(key))
        conditions = gene.when if gene else ()
        possible = all(depth in values for name, values in conditions if name == "depth")
        widths = [int(value) for value in _values(gene)[-1:]] if gene and possible else []
        if not widths or any(name != "depth" for name, _ in conditions):
            if layer > len(fixed):
                what = f"nothing says how wide layer {layer} is; write more widths in network.hidden"
                raise GeneError("depth", (), f"{what}, or a hidden gene that is always there")
            widths.append(fixed[layer - 1])
        bounds.append(max(widths))
    return tuple(bounds)


def _values(gene: Gene) -> Sequence[Value]:
    """The values of a gene for whole numbers, in ascending order."""
    assert not isinstance(gene, FloatGene)
    return sorted(gene.choices) if isinstance(gene, ChoiceGene) else gene.values
