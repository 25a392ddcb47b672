"""The built-in families of networks, and how a genome shapes one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hebbevo.networks.hebbian_conv_knobs import HEBBIAN_CONV_KNOBS, WHITENING_KNOBS
from hebbevo.networks.seeding import pytorch_seeded
from hebbevo.networks.settings import (
    DEFAULT_READOUT,
    READOUTS,
    Settings,
    layer_settings,
    rule_of_layer,
    split_layer,
)
from hebbevo.rules import AXES, CONNECTIONS, REGULARIZERS, UNITS
from hebbevo.space import MOST_LAYERS, ChoiceGene, FloatGene, Gene, GeneError, Space
from hebbevo.space.knobs import Knob, Scalar, Value, table

if TYPE_CHECKING:
    from torch import nn

    from hebbevo.networks.layers import LayerFactory

DEFAULT_RULES = {"units": "stamina", "connections": "full", "credit": "backprop"}
"""Name of the rule on each axis where a space file names none."""

_KNOBS = table(
    Knob(
        "depth", int, 2, "number of hidden layers; without this gene, network.hidden lists the width of each",
        low=1, high=MOST_LAYERS, sensible=(1, 4),
    ),
    Knob(
        "channels", int, 16, "channels of a convolution; without this gene, network.channels says how many",
        low=1, high=100_000, sensible=(4, 64), log=True, per_layer=True,
    ),
    Knob(
        "hidden", int, 128, "neurons of a hidden layer; without this gene, network.hidden says how many",
        low=1, high=100_000, sensible=(4, 256), log=True, per_layer=True,
    ),
    Knob(
        "capacity", int, 0, "neurons to which a hidden layer may grow beyond its width; 0: it does not",
        low=0, high=100_000, sensible=(64, 512), log=True, per_layer=True,
    ),
    Knob(
        "readout", str, DEFAULT_READOUT,
        "which head gives the accuracy, the trained one or one fitted in closed form; else network.readout",
        choices=READOUTS,
    ),
    Knob(
        "greedy", bool, False,
        "whether layers under a Hebbian rule learn one after the other, in equal shares of the training",
        choices=(False, True),
    ),
    *(
        Knob(
            axis, str, DEFAULT_RULES[axis], f"rule for {axis}; without this gene, network.{axis} names it",
            choices=tuple(known),
        )
        for axis, known in AXES.items()
    ),
)  # fmt: skip

_NOISE = {**REGULARIZERS["activation_noise"].knobs, **REGULARIZERS["structured_noise"].knobs}
REGULARIZING = {
    "input_noise": Knob(
        "input_noise", float, 0.0, "standard deviation of the noise that is added to inputs; 0: none",
        low=0.0, sensible=(0.01, 1.0), log=True,
    ),
    **_NOISE,
    **REGULARIZERS["feature_flow"].knobs,
}  # fmt: skip
"""Knobs of noise and penalties in fully connected networks and `conv`; without them a network has none."""

LAYERED = frozenset(
    {"channels", "hidden", "capacity", *AXES, *HEBBIAN_CONV_KNOBS, *_NOISE}.union(
        *(rule.knobs for known in AXES.values() for rule in known.values())
    )
)
"""Knobs that each layer may set for itself, as ``knob.1``, ``knob.2``, ..."""


@dataclass(frozen=True)
class Architecture:
    """A network of a built-in family: the widths and rules that it has where its genome names no others.

    Attributes:
        family: name of the family, a key of `FAMILIES`.
        hidden: number of neurons of each fully connected hidden layer.
        units: name of the rule for units.
        inputs: whether the rule for units applies to the inputs too, so that they can be pruned.
        shape: shape of one row of the data.
        classes: number of classes, or 1 for a regression.
        channels: number of channels of each convolution; none in a fully connected network.
        connections: name of the rule for connections.
        credit: name of the rule for credit.
        readout: which head gives the accuracy, one of `READOUTS`.

    Example:
        >>> net = Architecture("mlp", (8, 4), "stamina", False, (3,), 2).build({"hidden.1": 5}, seed=1)
        >>> [layer.out_features for layer in net.layers]
        [5, 4]
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
    readout: str = DEFAULT_READOUT

    @property
    def features(self) -> int:
        """Number of features in a row of the data."""
        return math.prod(self.shape)

    @property
    def neurons(self) -> int:
        """Number of hidden neurons and channels."""
        return sum(self.channels) + sum(self.hidden)

    def shaped(self, settings: Settings) -> Architecture:
        """The architecture with the ``depth``, the widths and the rules that ``settings`` name."""

        def widths(name: str, default: tuple[int, ...], depth: int) -> tuple[int, ...]:
            given = settings.get(name)
            if isinstance(given, list):
                return tuple(map(_whole, given))
            of_layers = (layer_settings(settings, [name], layer).get(name) for layer in range(1, depth + 1))
            return tuple(_whole(own) if own else default[layer] for layer, own in enumerate(of_layers))

        depth = _whole(settings.get("depth", len(self.hidden)))
        return replace(
            self,
            channels=widths("channels", self.channels, len(self.channels)),
            hidden=widths("hidden", self.hidden, depth),
            units=str(settings.get("units", self.units)),
            connections=str(settings.get("connections", self.connections)),
            credit=str(settings.get("credit", self.credit)),
        )

    def with_reserves(self, settings: Settings) -> Architecture:
        """The architecture with the capacities that ``settings`` name, where they are above the widths.

        A layer whose units are never pruned has no reserve.
        """

        def capacities(widths: tuple[int, ...], first: int) -> tuple[int, ...]:
            return tuple(
                max(width, _whole(layer_settings(settings, ["capacity"], number).get("capacity", 0)))
                if UNITS[rule_of_layer(settings, "units", self.units, number)].prunes
                else width
                for number, width in enumerate(widths, start=first)
            )

        channels = capacities(self.channels, 1)
        return replace(self, channels=channels, hidden=capacities(self.hidden, len(channels) + 1))

    def build(self, settings: Settings, seed: int) -> nn.Module:
        """Build the network that this architecture becomes with ``settings``.

        Args:
            settings: settings and genes by name; names of other parts of a training are ignored.
            seed: decides the initial weights; PyTorch's own generator keeps its state.

        Raises:
            UsageError: a value is outside the range of its knob.
        """
        from hebbevo.networks.layers import LayerFactory

        shaped = self.shaped(settings)
        hidden_layers = len(shaped.channels) + len(shaped.hidden)
        rules = shaped.units, shaped.connections, shaped.credit
        whole = shaped.with_reserves(settings)
        widths, capacities = ((*each.channels, *each.hidden) for each in (shaped, whole))
        starts = [width / capacity for width, capacity in zip(widths, capacities, strict=True)]
        of_starts = dict(enumerate(starts, start=1))
        make = LayerFactory(*rules, hidden_layers, settings, seed, of_starts, self.readout)
        with pytorch_seeded(seed):  # built-in families draw from no other generator
            return FAMILIES[self.family].build(whole, make)

    def prunes(self, settings: Settings) -> bool:
        """Whether a rule of the network with these settings may prune units or connections."""
        shaped = self.shaped(settings)
        layers = range(len(shaped.channels) + len(shaped.hidden) + 1)
        of_layers = {rule_of_layer(settings, "units", shaped.units, layer) for layer in layers}
        masked = {rule_of_layer(settings, "connections", shaped.connections, layer) for layer in layers}
        return any(UNITS[name].prunes for name in of_layers) or any(
            CONNECTIONS[name].prunes for name in masked
        )

    @property
    def has_user_code(self) -> bool:
        """Whether code of the user builds it: never."""
        return False

    def has_argument(self, name: str) -> bool:
        """Whether the network itself takes a setting of this name as an argument: none."""
        return False


# --- families: PyTorch is imported when a network is built, because a space file is checked without it ---


@dataclass(frozen=True)
class Family:
    """A family of networks.

    Attributes:
        build: makes a network from the widths of an architecture and the parts that the factory makes.
        knobs: by name, the genes that shape a network of the family; its rules have further knobs.
    """

    build: Callable[[Architecture, LayerFactory], nn.Module]
    knobs: Mapping[str, Knob]


def _mlp(architecture: Architecture, make: LayerFactory) -> nn.Module:
    from hebbevo.networks.mlp import MLP

    return MLP(make, architecture.shape, architecture.hidden, architecture.classes, architecture.inputs)


def _conv(architecture: Architecture, make: LayerFactory) -> nn.Module:
    from hebbevo.networks.conv import Conv

    return Conv(make, architecture.shape, architecture.channels, architecture.hidden, architecture.classes)


def _hebbian_conv(architecture: Architecture, make: LayerFactory) -> nn.Module:
    from hebbevo.networks.hebbian_conv import HebbianConv

    return HebbianConv(make, architecture.shape, architecture.channels, architecture.classes)


FAMILIES: dict[str, Family] = {
    "mlp": Family(_mlp, {name: knob for name, knob in _KNOBS.items() if name != "channels"} | REGULARIZING),
    "conv": Family(_conv, {name: knob for name, knob in _KNOBS.items() if name != "depth"} | REGULARIZING),
    "hebbian_conv": Family(
        _hebbian_conv,
        {
            **{name: knob for name, knob in _KNOBS.items() if name not in ("depth", "hidden")},
            **HEBBIAN_CONV_KNOBS,
            **WHITENING_KNOBS,
        },
    ),
}
"""The built-in families of networks by name."""

CONVOLUTIONAL = frozenset({"conv", "hebbian_conv"})
"""The families that take images."""


# --- the largest network of a space ---


def largest(architecture: Architecture, space: Space) -> Architecture:
    """Find the network with the most neurons that a genome of ``space`` can make of ``architecture``.

    Where conditions decide whether a gene sets a width, each layer has the larger of the two widths. The
    result is then an upper bound.

    Raises:
        GeneError: a genome can have a layer for which neither a gene nor the architecture has a width.
    """
    genes = {gene.name: gene for gene in space.genes}
    depth = genes.get("depth")
    depths: list[int | None] = [*_integers(depth)] if depth else []
    if depth is None or depth.when:
        depths.append(None)  # a genome without the gene has as many layers as the architecture
    channels = _possible_widths("channels", architecture.channels, genes, [None])
    hidden = _possible_widths("hidden", architecture.hidden, genes, depths)
    found = replace(architecture, channels=max(channels, key=sum), hidden=max(hidden, key=sum))
    capacities = (gene for gene in space.genes if split_layer(gene.name)[0] == "capacity")
    return found.with_reserves({gene.name: _integers(gene)[-1] for gene in capacities})


def _possible_widths(
    name: str, default: tuple[int, ...], genes: Mapping[str, Gene], depths: Sequence[int | None]
) -> list[tuple[int, ...]]:
    """The lists that the gene ``name`` can be, and the largest widths for each depth where it may be none."""
    gene = genes.get(name)
    lists = [tuple(map(_whole, each)) for each in lists_of(gene)]
    if gene is not None and lists and not _integers(gene) and not gene.when:
        return lists
    return [*lists, *(_largest_widths(name, default, genes, each) for each in depths)]


def lists_of(gene: Gene | None) -> list[list[Scalar]]:
    """The choices of a gene that are lists.

    >>> from hebbevo.space import ChoiceGene
    >>> lists_of(ChoiceGene("hidden", (64, [32, 16])))
    [[32, 16]]
    """
    return [each for each in gene.choices if isinstance(each, list)] if isinstance(gene, ChoiceGene) else []


def _largest_widths(
    name: str, default: tuple[int, ...], genes: Mapping[str, Gene], depth: int | None
) -> tuple[int, ...]:
    """The largest width of each layer that the gene ``name`` can give, in networks of this depth.

    ``depth`` is ``None`` where the genome has no such gene: there are then as many layers as ``default`` has.
    """
    largest_widths = []
    for layer in range(1, (len(default) if depth is None else depth) + 1):
        gene = genes.get(f"{name}.{layer}", genes.get(name))
        conditions = gene.when if gene else ()
        active = all(depth in values for other, values in conditions if other == "depth")
        widths = [*_integers(gene)[-1:]] if gene and active else []
        # a condition on another gene may switch the gene off, and the default width then counts
        if not widths or any(other != "depth" for other, _ in conditions):
            if layer > len(default):
                what = f"nothing says how wide layer {layer} is; write more widths in network.hidden"
                raise GeneError("depth", (), f"{what}, or a hidden gene that is always there")
            widths.append(default[layer - 1])
        largest_widths.append(max(widths))
    return tuple(largest_widths)


def _integers(gene: Gene) -> Sequence[int]:
    """The values of a gene for whole numbers, in ascending order, without lists."""
    assert not isinstance(gene, FloatGene)
    if isinstance(gene, ChoiceGene):
        return sorted(_whole(each) for each in gene.choices if not isinstance(each, list))
    return gene.values


def _whole(value: Value) -> int:
    assert not isinstance(value, list)
    return int(value)
