"""The layer graph: which layers feed the units of a network, and which layers read them.

The layers around a layer of plastic units have three roles.

- A *producer* feeds the units and nothing else: its outputs become the units, one by one. When a unit is
  regrown, its weights there are drawn anew.
- A *norm* is a batch norm between producers and units, which serves these units alone.
- A *consumer* reads the units. When a unit is pruned, its weights there are set to zero.

In ``Sequential(Linear(4, 3), Stamina(3), Linear(3, 2))`` the units ``"1"`` have the producer ``"0"`` and the
consumer ``"2"``. The graph is found by one forward pass, in evaluation mode and without side effects, that
labels each element with the unit behind it (see `hebbevo.nn.unit_labels`).

Here layers are dotted names, found once. `hebbevo.nn.layer_context` has their tensors, at every event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.credit import Credited
from hebbevo.nn.forward_pass.example_inputs import run_on_example
from hebbevo.nn.layer_context import Columns
from hebbevo.nn.similarity_matching import SimilarityMatching
from hebbevo.nn.unit_labels.labelled_network import labelled_network
from hebbevo.nn.unit_labels.labels import Read, Source, SourceKind
from hebbevo.nn.units import PlasticUnits


@dataclass(frozen=True)
class NamedConsumer:
    """A layer that reads units.

    Attributes:
        name: dotted; for a layer in a mask that of the inner layer, as ``"2.module"``.
        columns: which unit each input column reads, by group of the layer; -1: none of these units. ``None``:
            there is one group, and its columns are the units in their order.
        foldable: a unit's mean output can be folded into the bias of the layer. That is exact, but for max
            pools of outputs that vary, and for the border of a convolution that is padded with zeros.
    """

    name: str
    columns: Columns | None
    foldable: bool


@dataclass(frozen=True)
class LayerNames:
    """The layers around plastic units, by dotted name, as far as they are found.

    Attributes:
        producers: layers that feed these units and nothing else.
        norms: batch norms between producers and units, for these units alone.
        consumers: layers that read the units.
        exclusive: whether only these layers read the units, by weights of their own. Then setting those
            weights to zero changes nothing but what the units contribute.
    """

    producers: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    consumers: tuple[NamedConsumer, ...] = ()
    exclusive: bool = False


def find_layer_names(
    model: nn.Module, example: Tensor | tuple[Tensor, ...] | None = None
) -> dict[str, LayerNames]:
    """Find the layers around those plastic units of ``model`` that its forward calls once.

    Args:
        model: any module; left exactly as it was.
        example: what its forward takes, of which two rows count where they are enough. By default of the
            shape ``model.input_shape``, without the batch axis, or what the first layer suggests.

    Returns:
        Layers by the dotted name of the units. Units inside a mask have no entry.

    Raises:
        UsageError: the model cannot be followed, or does not run on ``example``.

    >>> from hebbevo.nn import Stamina
    >>> find_layer_names(nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2)))["1"].producers
    ('0',)
    """
    units = {name: module for name, module in model.named_modules() if isinstance(module, PlasticUnits)}
    if not units:
        return {}
    graph = run_on_example(model, example, partial(LayerGraph.of, model))
    found = {}
    for name, module in units.items():
        if graph.call_counts[name] == 1 and not graph.is_in_mask(name):
            found[name] = graph.around(name, module)
    return found


@dataclass(frozen=True)
class LayerGraph:
    """Where the units of every layer went in one run, and which weights may be changed.

    Attributes:
        sources: calls of layers, norms and plastic units, in their order, with the reads of their units.
        call_counts: how often each of these modules was called, by name.
        masks: connection masks by name.
        unchangeable: names of layers and norms whose weights may not be changed. They are not trained, they
            belong to another module too, or ``forward`` uses them by itself.
    """

    sources: Sequence[Source]
    call_counts: Counter[str]
    masks: Mapping[str, PlasticConnections]
    unchangeable: frozenset[str]

    @classmethod
    def of(cls, model: nn.Module, inputs: Sequence[Tensor]) -> LayerGraph:
        """Run ``model`` on ``inputs``.

        Raises:
            NotFollowed: its path depends on values, or part of it cannot be looked into.
        """
        modules = dict(model.named_modules())
        # a layer with a learning rule of its own may be trained without gradients
        frozen = {
            name
            for name, module in modules.items()
            if not isinstance(module, Credited | SimilarityMatching)
            and not all(each.requires_grad for each in module.parameters())
        }
        run, used = labelled_network(model, inputs)
        return cls(
            run.sources,
            Counter(source.name for source in run.sources),
            {name: module for name, module in modules.items() if isinstance(module, PlasticConnections)},
            frozenset(frozen | used),
        )

    def is_in_mask(self, name: str) -> bool:
        """Whether the module of that name is inside a connection mask."""
        return any(name.startswith(f"{mask}." if mask else "") for mask in self.masks)

    def around(self, name: str, units: PlasticUnits) -> LayerNames:
        """The layers around plastic units that are called once.

        Args:
            name: dotted name of the units.
            units: their module.
        """
        (own,) = (source for source in self.sources if source.name == name)
        before = [source for source in self.sources if self._feeds(source, name, units.num_neurons)]
        consumers: dict[str, NamedConsumer] = {}
        exclusive = True
        for read in own.reads:
            changeable = read.own_weights and self._is_changeable(read.layer)
            # a weight of zero takes nothing from others only if its column holds the unit alone
            exclusive &= read.columns is not None and changeable and read.unshared and read.path.keeps_zero
            if read.columns is not None:
                foldable = changeable and read.unshared and read.path.keeps_mean and read.has_bias
                consumer = NamedConsumer(read.layer, _by_group(read, own.size), foldable)
                consumers.setdefault(read.layer, consumer)
        return LayerNames(
            tuple(source.name for source in before if source.kind is not SourceKind.NORM),
            tuple(source.name for source in before if source.kind is SourceKind.NORM),
            tuple(consumers.values()),
            exclusive and bool(consumers),
        )

    def _feeds(self, source: Source, units: str, size: int) -> bool:
        """Whether the outputs of a layer or norm become ``units``, one by one, and nothing else."""
        if source.kind is SourceKind.UNITS or source.size != size or len(source.reads) != 1:
            return False
        (read,) = source.reads
        # norms on the way must serve these units alone too, or a change would show elsewhere
        changeable = source.own_weights and self._is_changeable(source.name)
        norms = all(self._feeds(norm, units, size) for norm in read.path.norms)
        return changeable and read.units == units and read.path.is_additive and norms

    def _is_changeable(self, name: str) -> bool:
        """Whether the weights of a layer or norm may be changed with no effect on anything else."""
        masks = [mask for mask in self.masks if name.startswith(f"{mask}." if mask else "")]
        # a mask of this layer alone can be changed together with it
        fits = not masks or (len(masks) == 1 and _masks_only(self.masks[masks[0]], name, masks[0]))
        return self.call_counts[name] == 1 and name not in self.unchangeable and fits


def _masks_only(mask: PlasticConnections, layer: str, name: str) -> bool:
    """Whether ``mask``, of that dotted name, masks the weight of ``layer`` and wraps nothing else."""
    return list(mask.names) == ["weight"] and layer == f"{name}.module".removeprefix(".")


def _by_group(read: Read, size: int) -> Columns | None:
    """Columns by group, or ``None`` where there is one group and its columns are all units in order."""
    columns = read.columns or ()
    if read.groups == 1 and columns == tuple(range(size)):
        return None
    width = len(columns) // read.groups
    return tuple(columns[start : start + width] for start in range(0, len(columns), width))
