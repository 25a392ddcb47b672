"""Which layers feed which units, which layers read them, and which nets are plain chains.

Found by running the model once, in evaluation mode and without a trace (see `hebbevo.nn.unit_labels`).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.credit import Credited
from hebbevo.nn.liveness.flow import LAYERS, Follower, exactly, still, watching
from hebbevo.nn.liveness.patterns import NotFollowed, tensors_in
from hebbevo.nn.surgery import Source as Columns
from hebbevo.nn.unit_labels import LAYER, NORM, UNITS, Labels, Read, Source
from hebbevo.nn.units import PlasticUnits

_IMAGE_SIZES = (32, 28, 224, 64, 16, 8)
_FURTHER_SIZES = tuple(size for size in range(1, 49) if size not in _IMAGE_SIZES)
_ROWS = 2  # a loop over rows must not look like one call
# by name: a network is above this package
_CHAINS = {"torch.nn.modules.container.Sequential", "hebbevo.networks.mlp.MLP"}
_CONTAINERS = (nn.Sequential, nn.ModuleList)
_PASSING = (nn.Identity, nn.Flatten)

INPUTS = -1
"""The place of units before the first layer."""


def _is_plain_units(module: nn.Module) -> bool:
    """Whether these units, or this ReLU, are such as a plain chain may have."""
    if not isinstance(module, PlasticUnits):
        return type(module) is nn.ReLU
    plain = type(module).forward is PlasticUnits.forward and not module.penalised
    return plain and (module.dim == -1 or not module.rule.prunes)


@dataclass(frozen=True)
class Listener:
    """A layer that reads units.

    Attributes:
        name: dotted; for a layer in a mask the inner layer, as ``"2.module"``.
        source: by group of the layer and input column of the group, the number of the unit, or -1 where the
            column is none of these units; ``None``: one group, whose columns are the units in their order.
        direct: the layer has a bias of its own that a unit's mean output can be folded into, exactly, or
            through max pools nearly.
    """

    name: str
    source: Columns | None
    direct: bool


@dataclass(frozen=True)
class Neighbours:
    """The layers around plastic units, by dotted name, as far as they are found.

    Attributes:
        feeders: layers that feed these units and nothing else.
        norms: batch norms between them, the units' own.
        listeners: layers that read the units.
        exclusive: nothing else reads a unit, and these layers read it by weights of its own: they can be set
            to zero without loss to others.
    """

    feeders: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    listeners: tuple[Listener, ...] = ()
    exclusive: bool = False


def find_neighbours(
    model: nn.Module, example: Tensor | tuple[Tensor, ...] | None = None
) -> dict[str, Neighbours]:
    """Find the layers around those plastic units of ``model`` that its forward calls once.

    Args:
        model: any module; left exactly as it was.
        example: what its forward takes, of which two rows count where they are enough; by default of the
            shape ``model.input_shape``, without the batch axis, or what the first layer suggests.

    Returns:
        Neighbours by the dotted name of the units. Units inside a mask have none.

    Raises:
        UsageError: the model cannot be followed, or does not run on ``example``.
    """
    units = {name: module for name, module in model.named_modules() if isinstance(module, PlasticUnits)}
    if not units:
        return {}
    graph = _run(model, example, partial(_Graph.of, model))
    found = {}
    for name, module in units.items():
        if graph.calls[name] == 1 and not graph.is_masked(name):
            found[name] = graph.around(name, module)
    return found


@dataclass(frozen=True)
class _Graph:
    """What a model did in a run, and which of its weights may be changed.

    Attributes:
        sources: in the order of their calls.
        calls: of each module that is a source.
        masks: by name.
        fixed: names of layers and norms that are not trained, whose parameters another has too, or which
            forward itself uses.
    """

    sources: Sequence[Source]
    calls: Counter[str]
    masks: Mapping[str, PlasticConnections]
    fixed: frozenset[str]

    @classmethod
    def of(cls, model: nn.Module, inputs: Sequence[Tensor]) -> _Graph:
        """Run ``model`` on ``inputs``.

        Raises:
            NotFollowed: its path depends on values.
        """
        modules = dict(model.named_modules())
        own = {name: [*module.parameters(recurse=False)] for name, module in modules.items()}
        frozen = {
            name
            for name, module in modules.items()
            if not isinstance(module, Credited)
            and not all(each.requires_grad for each in module.parameters())
        }
        holders = Counter(id(each) for parameters in own.values() for each in parameters)
        with still(model, trained=True) as copies:
            labels = Labels(model)
            labels.run(inputs)
            used = {
                name
                for name, parameters in own.items()
                if any(holders[id(each)] > 1 or id(copies[id(each)]) in labels.used for each in parameters)
            }
        return cls(
            labels.sources,
            Counter(source.name for source in labels.sources),
            {name: module for name, module in modules.items() if isinstance(module, PlasticConnections)},
            frozenset(frozen | used),
        )

    def is_masked(self, name: str) -> bool:
        """Tell whether a module is inside a mask."""
        return any(name.startswith(f"{mask}." if mask else "") for mask in self.masks)

    def around(self, name: str, units: PlasticUnits) -> Neighbours:
        """Find the neighbours of units that are called once."""
        (own,) = (source for source in self.sources if source.name == name)
        before = [source for source in self.sources if self._feeds(source, name, units.num_neurons)]
        listeners: dict[str, Listener] = {}
        exclusive = True
        for read in own.reads:
            changeable = read.own and self._is_changeable(read.layer)
            exclusive &= read.columns is not None and changeable and read.whole and read.way.alone
            if read.columns is not None:
                direct = changeable and read.whole and read.way.direct and read.has_bias
                listener = Listener(read.layer, _source(read, own.size), direct)
                listeners.setdefault(read.layer, listener)
        return Neighbours(
            tuple(source.name for source in before if source.kind == LAYER),
            tuple(source.name for source in before if source.kind == NORM),
            tuple(listeners.values()),
            exclusive and bool(listeners),
        )

    def _feeds(self, source: Source, units: str, size: int) -> bool:
        """Tell whether the units of a layer or norm become ``units``, each by itself, and nothing else."""
        if source.kind == UNITS or source.size != size or len(source.reads) != 1:
            return False
        (read,) = source.reads
        changeable = source.own and self._is_changeable(source.name)
        norms = all(self._feeds(norm, units, size) for norm in read.way.norms)
        return changeable and read.units == units and read.way.plain and norms

    def _is_changeable(self, name: str) -> bool:
        around = [mask for mask in self.masks if name.startswith(f"{mask}." if mask else "")]
        # a mask of this layer alone can be changed with it
        alone = not around or (len(around) == 1 and is_mask_of_one(self.masks[around[0]], name, around[0]))
        return self.calls[name] == 1 and name not in self.fixed and alone


def is_mask_of_one(mask: PlasticConnections, layer: str, name: str) -> bool:
    """Tell whether ``mask``, of that dotted name, masks the weight of ``layer`` and wraps nothing else."""
    return list(mask.names) == ["weight"] and layer == f"{name}.module".removeprefix(".")


def _source(read: Read, size: int) -> Columns | None:
    """Input columns by group, or ``None`` where there is nothing to say."""
    columns = read.columns or ()
    if read.groups == 1 and columns == tuple(range(size)):
        return None
    width = len(columns) // read.groups
    return tuple(columns[start : start + width] for start in range(0, len(columns), width))


# plain chains


@dataclass(frozen=True)
class Layout:
    """A plain fully connected chain: linear layers with units between them, and nothing else.

    Attributes:
        layers: the linear layers, in their order.
        units: the units behind each of them, and those before the first at place -1: empty where are none.
        widths: inputs, units of each hidden layer, outputs.
        bias: whether each layer has one.
        masked: the connection masks around layers, by place: empty where are none.
    """

    layers: tuple[str, ...]
    units: dict[int, str]
    widths: tuple[int, ...]
    bias: tuple[bool, ...]
    masked: dict[int, str] = field(default_factory=dict)


def layout(model: nn.Module) -> Layout | None:
    """Find what ``model`` is made of, if it is a chain of layers and units that are known here."""
    if _qualified(model) not in _CHAINS:
        return None
    modules = dict(model.named_modules())
    masked = {name: mask for name, mask in modules.items() if _is_plain_mask(mask)}
    inner = {f"{name}.module": mask for name, mask in masked.items()}
    inside = [name for name in modules if any(name.startswith(f"{mask}.") for mask in masked)]
    for name, module in modules.items():
        if name in inner:
            if not _is_untouched(module, inner[name]):
                return None
        elif name not in inside and not _is_known(module, name in masked):
            return None
    try:
        steps = _run(model, None, partial(_Steps.of, model))
    except UsageError:
        return None
    return _chained(modules, steps, masked)


def _chained(
    modules: Mapping[str, nn.Module], steps: Sequence[str], masked: Mapping[str, nn.Module]
) -> Layout | None:
    layers: list[str] = []
    units: dict[int, str] = {}
    masks: dict[int, str] = {}
    for name in steps:
        module = modules.get(name)
        if name in masked:
            masks[len(layers)] = name
            layers.append(f"{name}.module")
        elif isinstance(module, nn.Linear):
            layers.append(name)
        elif module is None or isinstance(module, nn.Flatten):
            if layers or not (module is None or (module.start_dim, module.end_dim) == (1, -1)):
                return None
        elif not isinstance(module, _PASSING):
            place = len(layers) - 1
            if place in units or (place == INPUTS) is not getattr(module, "inputs", False):
                return None
            units[place] = name
    called = [*layers, *units.values()]
    if not layers or len(set(called)) < len(called) or len(layers) - 1 in units:
        return None
    linear = [layer for name in layers if isinstance(layer := modules[name], nn.Linear)]
    parameters = [each for layer in linear for each in layer.parameters()]
    if len({*map(id, parameters)}) < len(parameters) or not all(p.requires_grad for p in parameters):
        return None
    widths = (linear[0].in_features, *(layer.out_features for layer in linear))
    return Layout(tuple(layers), units, widths, tuple(layer.bias is not None for layer in linear), masks)


def _qualified(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _is_plain_mask(module: nn.Module) -> bool:
    """Whether this masks the weights of one linear layer and nothing else."""
    if not isinstance(module, PlasticConnections) or type(module).forward is not PlasticConnections.forward:
        return False
    return type(module.module) is nn.Linear and list(module.names) == ["weight"]


def _is_known(module: nn.Module, is_mask: bool) -> bool:
    """Whether a module of a chain does what its class says: a subclass, or a hook, may do anything."""
    kinds = (*_CONTAINERS, *_PASSING, nn.Linear)
    known = is_mask or type(module) in kinds or _qualified(module) in _CHAINS or _is_plain_units(module)
    return known and _is_untouched(module, None)


def _is_untouched(module: nn.Module, owner: nn.Module | None) -> bool:
    """Whether a module has its own forward, and no hooks but those of the mask that owns it."""
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    owners = [getattr(getattr(hook, "func", hook), "__self__", None) for hook in hooks]
    return "forward" not in vars(module) and all(each is not None and each is owner for each in owners)


class _Steps(Follower):
    """Writes down what a chain does step by step: names of modules, or `FLATTEN` for ``x.flatten(1)``.

    Attributes:
        names: in the order of calls.
    """

    FLATTEN = ".flatten"

    def __init__(self, net: nn.Module, x: Tensor) -> None:
        super().__init__()
        self.names: list[str] = []
        self._containers = {
            id(module)
            for module in net.modules()
            if type(module) in _CONTAINERS or _qualified(module) in _CHAINS
        }
        self._depth = 0
        self._last = self.also(x)

    @classmethod
    def of(cls, net: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
        """Run ``net``.

        Raises:
            NotFollowed: it does something else, or not one after the other.
        """
        (x,) = inputs
        with still(net):
            steps = cls(net, x)
            with watching(net, steps._enter, steps._leave), steps:
                output = net(x)
            if output is not steps._last:
                raise NotFollowed("its output is not that of its last layer")
        return steps.names

    def apply(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        name: str,
        in_place: bool,
    ) -> Any:
        """Run a function; outside of a layer it can only be a step."""
        result = func(*args, **kwargs)
        if not self._depth:
            if (name, tuple(args[1:]), kwargs) != ("flatten", (1,), {}):
                raise NotFollowed(f"{name} is not known in a chain")
            self._step(self.FLATTEN, args[0], result)
        return result

    def _enter(self, name: str, module: nn.Module, *call: object) -> None:
        self._depth += id(module) not in self._containers

    def _leave(self, name: str, module: nn.Module, args: object, kwargs: object, output: object) -> None:
        if id(module) in self._containers:
            return
        self._depth -= 1
        if not self._depth:
            (x,) = tensors_in([args, kwargs])
            self._step(name, x, output)

    def _step(self, name: str, x: Tensor, output: object) -> None:
        if x is not self._last or not isinstance(output, Tensor):
            raise NotFollowed("it is no chain")
        self.names.append(name)
        self._last = self.also(output)


# inputs

_Result = TypeVar("_Result")


def _run(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...] | None,
    run: Callable[[Sequence[Tensor]], _Result],
) -> _Result:
    """Give what ``run`` makes of inputs that ``model`` takes.

    Raises:
        UsageError: it cannot be followed, or takes none of those that are tried.
    """
    name = type(model).__name__
    for parameter_name, parameter in model.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise UsageError(f"{name}: {parameter_name} has no shape yet; call the model once before")
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    reason = ""
    for inputs in _attempts(model, example):
        try:
            with exactly(device), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # guessed inputs say nothing about a training
                # in memory of their own: forward may change them
                return run([each.detach().clone().to(device) for each in inputs])
        except NotFollowed as error:
            remedy = "keep data-dependent control flow out of forward"
            if "looked into" in str(error):
                remedy = "write it in functions of PyTorch"
            raise UsageError(f"{name}: its forward cannot be followed ({error}); {remedy}") from error
        except (Exception, SystemExit) as error:  # a forward pass may raise anything
            line = str(error).strip().partition("\n")[0]
            reason = reason or (f"{type(error).__name__}: {line}" if line else type(error).__name__)
    if example is not None:
        raise UsageError(f"{name}: does not run on the example ({reason}); give inputs that it takes")
    if not reason:
        raise UsageError(f"{name}: it is not known what it takes; give an example input")
    raise UsageError(
        f"{name}: does not run on an input that its first layer suggests ({reason}); give an example input"
    )


def _attempts(model: nn.Module, example: Tensor | tuple[Tensor, ...] | None) -> Iterator[tuple[Tensor, ...]]:
    """Inputs to try in turn."""
    if example is not None:
        given = example if isinstance(example, tuple) else (example,)
        if len({len(each) if each.dim() else 0 for each in given}) == 1 and len(given[0]) > _ROWS:
            yield tuple(each[:_ROWS] for each in given)
        yield given
        return
    found = (each for each, _ in suggested(model, _ROWS))
    units = [module for module in model.modules() if isinstance(module, PlasticUnits)]
    if isinstance(_first_layer(model), nn.Linear) and any(module.dim != -1 for module in units):
        # such units are places of a sequence
        yield from ((each,) for each in sorted(found, key=Tensor.dim, reverse=True))
    else:
        yield from ((each,) for each in found)


def suggested(model: nn.Module, rows: int) -> Iterator[tuple[Tensor, bool]]:
    """Inputs of so many rows that ``model`` may take, to be tried in turn, and whether a size is guessed."""
    first = _first_layer(model)
    like = torch.empty(0) if first is None else first.weight.detach()
    if (shape := getattr(model, "input_shape", None)) is not None:
        yield like.new_ones(rows, *shape), False
        return
    units = [module for module in model.modules() if isinstance(module, PlasticUnits)]
    if isinstance(first, nn.Linear):
        yield like.new_ones(rows, first.in_features), False
        places = [module.num_neurons for module in units if module.dim != -1]
        for size in dict.fromkeys((*places, *_IMAGE_SIZES)):
            yield like.new_ones(rows, size, first.in_features), True
    elif first is not None:
        for size in (*_IMAGE_SIZES, *_FURTHER_SIZES):
            yield like.new_ones(rows, first.in_channels, *(size,) * (like.dim() - 2)), True
    if units:
        width = units[0].num_neurons
        yield like.new_ones(rows, width), False
        if units[0].dim != -1:
            for axes in (1, 2):
                for size in (*_IMAGE_SIZES, *_FURTHER_SIZES):
                    yield like.new_ones(rows, width, *(size,) * axes), True


def _first_layer(model: nn.Module) -> Any:
    return next((module for module in model.modules() if isinstance(module, LAYERS)), None)
