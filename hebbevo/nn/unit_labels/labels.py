"""Sources, the labels that follow their units through a network, and the places where these arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from torch import Tensor

from hebbevo.nn.unit_labels.codes import MIXED, filled


class SourceKind(Enum):
    """What a source is a call of.

    A circuit is a layer whose units settle together, so that its weights are of no use without the others.
    """

    LAYER = auto()
    CIRCUIT = auto()
    NORM = auto()
    UNITS = auto()


@dataclass
class PathProperties:
    """What lies between a source and a tensor.

    Attributes:
        is_additive: nothing but sums, batch norms, means, pools and dropout. Then fresh weights of the source
            act on the units behind it as they would directly before them.
        keeps_mean: a unit's mean output arrives unchanged, or nearly so through max pools.
        keeps_zero: an element is zero where its unit is, whatever the other units are.
        norms: the batch norms on the path.
    """

    is_additive: bool = True
    keeps_mean: bool = True
    keeps_zero: bool = True
    norms: frozenset[Source] = frozenset()

    def merge(self, *others: PathProperties) -> PathProperties:
        """Add what lies on other paths to the same tensor, in place; return ``self``."""
        for other in others:
            self.is_additive &= other.is_additive
            self.keeps_mean &= other.keeps_mean
            self.keeps_zero &= other.keeps_zero
            self.norms |= other.norms
        return self


@dataclass
class Label:
    """One source in one tensor. Views of a tensor share the path, and the memory of the codes.

    Attributes:
        codes: of the shape of the tensor.
        path: from the source to the tensor.
    """

    codes: Tensor
    path: PathProperties

    @classmethod
    def mixed(cls, tensor: Tensor) -> Label:
        """A label that says nothing: any element may come from any units, in any way."""
        path = PathProperties(is_additive=False, keeps_mean=False, keeps_zero=False)
        return cls(filled(tensor, MIXED), path)


@dataclass(frozen=True)
class Read:
    """A place where units of a source end.

    Attributes:
        path: from the source to there.
        layer: name of the layer that reads them; empty where no layer does.
        columns: the unit that each input column of that layer reads, -1: none of these; ``None``: mixed.
        groups: of the layer.
        unshared: the columns of units hold nothing else, in any row.
        own_weights: the layer ran with its own weights.
        has_bias: the layer has a bias.
        units: name of the plastic units that they enter, each as the unit of the same number; else empty.
    """

    path: PathProperties
    layer: str = ""
    columns: tuple[int, ...] | None = None
    groups: int = 1
    unshared: bool = False
    own_weights: bool = False
    has_bias: bool = False
    units: str = ""


@dataclass(eq=False)
class Source:
    """One call of a layer, a norm or plastic units.

    Attributes:
        kind: what was called.
        name: dotted name of the module.
        size: number of its units.
        own_weights: whether it ran with its own weights.
        reads: where its units end.
    """

    kind: SourceKind
    name: str
    size: int
    own_weights: bool = True
    reads: list[Read] = field(default_factory=list)


Labels = Mapping[Source, Label]
"""All labels of one tensor."""


@dataclass(frozen=True)
class Arrival:
    """What a layer, a norm or plastic units are given at one call, or what leaves the network.

    Attributes:
        reader: name of the module; empty where units leave the network, or end in another function.
        units: by source, the unit that each input column of the reader holds, -1: none of this source;
            ``None``: mixed.
        groups: of the reader.
    """

    reader: str
    units: Mapping[Source, tuple[int, ...] | None]
    groups: int = 1


def memory_of(tensor: Tensor) -> int:
    """The address of the memory that a tensor is a view of."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # a sparse tensor, for example
        return id(tensor)
