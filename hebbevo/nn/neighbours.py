"""Who feeds a plastic module and who listens to it: names found by following the model's graph."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules.batchnorm import _BatchNorm

from hebbevo.errors import UsageError
from hebbevo.nn.plastic import (
    Feeder,
    Listener,
    Neighbourhood,
    Norm,
    Plastic,
    PlasticUnits,
    plastic_modules,
    plastic_units,
)

Moments = dict[str, tuple[Tensor, ...]]
"""Optimiser state by the parameter's name."""

_Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
# what neither mixes nor reorders neurons, and lets a mean through, exactly or (maxima) nearly
_TRANSPARENT = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
)  # fmt: skip
_TRANSPARENT_CALLS = {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d}
# the same for channels
_POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d,
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
)  # fmt: skip
_POOL_CALLS = {
    F.max_pool1d, F.max_pool2d, F.avg_pool1d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d,
}  # fmt: skip
_MEANS = {torch.mean, "mean"}
_FLATTENINGS = {torch.flatten, "flatten"}
_VIEWS = {torch.reshape, "view", "reshape"}
# what keeps neurons in their places but changes their outputs
_POINTWISE = (
    _BatchNorm, PlasticUnits, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardswish, nn.Softplus,
)  # fmt: skip
_POINTWISE_CALLS = {
    F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_", F.leaky_relu, F.elu, F.gelu, F.silu,
    torch.tanh, "tanh", torch.sigmoid, "sigmoid",
}  # fmt: skip
# what says something even of a dead neuron, which a silenced listener would miss
_NEVER_SILENT = (_BatchNorm, nn.Sigmoid, nn.Softplus)
_NEVER_SILENT_CALLS = {torch.sigmoid, "sigmoid"}
_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
# what looks at the shape only
_ASKING = {"size", "dim", "numel", "shape", "ndim", "dtype", "device", len}


@dataclass(frozen=True)
class Neighbours:
    """Dotted names of the layers around a plastic module, as far as they could be found.

    Attributes:
        feeders: layers that feed it and nobody else.
        norms: batch norms between it and who feeds it.
        listeners: layers that listen to it.
        direct: those listeners to whose bias a neuron's mean output can be handed.
        exclusive: whether nobody else hears a neuron, and these listeners hear it by weights of its own: they
            can be silenced without a loss to others.
    """

    feeders: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    listeners: tuple[str, ...] = ()
    direct: tuple[str, ...] = ()
    exclusive: bool = False

    def around(self, model: nn.Module, neurons: int, moments: Moments, loss: Tensor | None) -> Neighbourhood:
        """Collect the tensors of ``model``."""
        return Neighbourhood(
            feeders=tuple(_feeder(model, name, moments) for name in self.feeders),
            norms=tuple(_norm(model, name, moments) for name in self.norms),
            listeners=tuple(
                _listener(model, name, neurons, moments, name in self.direct) for name in self.listeners
            ),
            exclusive=self.exclusive,
            loss=loss,
        )


def _feeder(model: nn.Module, name: str, moments: Moments) -> Feeder:
    layer = model.get_submodule(name)
    assert isinstance(layer, _LAYERS)
    return Feeder(layer.weight, layer.bias, _moments(moments, name))


def _norm(model: nn.Module, name: str, moments: Moments) -> Norm:
    norm = model.get_submodule(name)
    assert isinstance(norm, _BatchNorm)
    return Norm(norm.weight, norm.bias, norm.running_mean, norm.running_var, _moments(moments, name))


def _listener(model: nn.Module, name: str, neurons: int, moments: Moments, direct: bool) -> Listener:
    layer = model.get_submodule(name)
    assert isinstance(layer, _LAYERS)
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups

    def grouped(weight: Tensor) -> Tensor:
        """(outputs, inputs, ...) as (outputs of a group, groups, neurons of a group, ...)."""
        if isinstance(layer, nn.Linear):  # behind a flattening every neuron has several inputs
            weight = weight.view(len(weight), neurons, -1)
        return weight.view(groups, -1, *weight.shape[1:]).movedim(0, 1)

    return Listener(
        weight=grouped(layer.weight),
        bias=layer.bias if direct else None,
        moments=tuple(grouped(moment) for moment in moments.get(f"{name}.weight", ())),
    )


def _moments(moments: Moments, name: str) -> tuple[Tensor, ...]:
    return tuple(moment for kind in ("weight", "bias") for moment in moments.get(f"{name}.{kind}", ()))


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Plastic) or super().is_leaf_module(m, module_qualified_name)


def find_neighbours(model: nn.Module) -> dict[str, Neighbours]:
    """Find the layers around those plastic units of ``model`` that its forward calls once.

    Raises:
        UsageError: the model cannot be traced.
    """
    units = plastic_units(model)
    if not units:
        return {}
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # forward is the user's code
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{type(model).__name__}: its forward cannot be followed ({reason}); "
            "keep data-dependent control flow out of forward"
        ) from error
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    shared = {name for name, times in calls.items() if times > 1} | _tied(model, graph)
    found: dict[str, Neighbours] = {}
    for node in graph.nodes:
        name = str(node.target)
        if node.op == "call_module" and name in units and calls[name] == 1:
            feeders, norms = _before(model, node, units[name], shared)
            behind = _Behind(model, units[name], shared)
            listeners = dict(behind.of(node))
            direct = tuple(listener for listener, is_direct in listeners.items() if is_direct)
            exclusive = behind.exclusive and bool(listeners)
            found[name] = Neighbours(tuple(feeders), tuple(norms), tuple(listeners), direct, exclusive)
    return found


def wire(model: nn.Module) -> tuple[dict[str, Neighbours], str]:
    """Find the neighbours as far as ``forward`` can be followed; and say why it cannot, or nothing.

    Raises:
        UsageError: a knob asks for neighbours that are not found.
    """
    units = plastic_units(model)
    try:
        found, note = find_neighbours(model), ""
    except UsageError as error:
        found, note = {}, str(error)
    if lost := [name for name in units if name not in found and not note]:
        inside = any(lost[0].startswith(f"{name}.") for name in plastic_modules(model))
        what = "is inside a mask, where nobody looks" if inside else "is not called once in forward"
        note = f"{lost[0]}: {what}; " + ("put it outside" if inside else "give each layer its own module")
    neighbours = dict.fromkeys(units, Neighbours()) | found
    for name, module in units.items():
        around = neighbours[name]
        problem = module.unmet(
            hears=bool(around.listeners), hands_over=bool(around.direct), exclusive=around.exclusive
        )
        if problem:
            remedy = note or "put an nn.Linear or a convolution of its own behind it"
            raise UsageError(f"{name}: {problem}; {remedy}")
    return neighbours, note


def connect(model: nn.Module, neighbours: dict[str, Neighbours], total_steps: int) -> None:
    """Let every plastic module of ``model`` take its first look; ``total_steps`` is 0 where not known."""
    for module in plastic_modules(model).values():
        module.begin(total_steps)
    for name, units in plastic_units(model).items():
        units.connect(neighbours[name].around(model, len(units.alive), {}, None))


def _module(model: nn.Module, node: fx.Node) -> nn.Module | None:
    return model.get_submodule(str(node.target)) if node.op == "call_module" else None


def _call(node: fx.Node) -> object:
    """The function or the name of the method that a node calls."""
    return node.target if node.op in ("call_function", "call_method") else None


def _layer(model: nn.Module, node: fx.Node) -> tuple[str, _Layer] | None:
    """The linear layer or convolution that a node calls, by name: itself, or what a plastic module wraps."""
    module, name = _module(model, node), str(node.target)
    if isinstance(module, Plastic):
        module, name = getattr(module, "module", None), f"{name}.module"
    # a weight that is computed anew at every call, as by `torch.nn.utils.parametrize`, cannot be changed
    return (name, module) if isinstance(module, _LAYERS) and "weight" in module._parameters else None


def _tied(model: nn.Module, graph: fx.Graph) -> set[str]:
    """Names of the modules whose parameters another module has too, or forward itself uses."""
    holders = Counter(each for module in model.modules() for each in module.parameters(recurse=False))
    used = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    return used | {
        name
        for name, module in model.named_modules()
        if any(holders[each] > 1 for each in module.parameters(recurse=False))
    }


def _own(model: nn.Module, node: fx.Node, shared: set[str]) -> bool:
    """Whether the weights of the layer or norm that a node calls may be changed: a mask holds old ones."""
    module = _module(model, node)
    trained = module is not None and all(each.requires_grad for each in module.parameters())
    return trained and not isinstance(module, Plastic) and str(node.target) not in shared


def _before(
    model: nn.Module, node: fx.Node, units: PlasticUnits, shared: set[str]
) -> tuple[list[str], list[str]]:
    """Names of the layers and of the batch norms before a plastic module that feed it and nobody else."""
    feeders: list[str] = []
    norms: list[str] = []
    sources = node.all_input_nodes[:1]
    for source in sources:  # which grows meanwhile
        if len(source.users) > 1:
            continue
        module, layer = _module(model, source), _layer(model, source)
        own = _own(model, source, shared)
        if layer:
            if own and len(layer[1].weight) == units.num_neurons and _along_same_axis(layer[1], units):
                feeders.append(layer[0])
        elif isinstance(module, _BatchNorm):
            if own and module.num_features == units.num_neurons:
                norms.append(str(source.target))
                sources += source.all_input_nodes
        elif _call(source) in _SUMS or _is_transparent(module, source, units.dim):
            sources += source.all_input_nodes
    return feeders, norms


class _Behind:
    """What lies behind a plastic module, on to the first layers on every path.

    Attributes:
        exclusive: whether every path so far has come to a layer whose weights from a neuron are its own.
    """

    def __init__(self, model: nn.Module, units: PlasticUnits, shared: set[str]) -> None:
        self._model = model
        self._units = units
        self._shared = shared
        self._seen: set[fx.Node] = set()
        self.exclusive = True

    def of(self, node: fx.Node, direct: bool = True, flat: bool = False) -> Iterator[tuple[str, bool]]:
        """Layers that hear a node, and whether a neuron's mean output can be handed to them.

        Args:
            node: what they hear.
            direct: whether nothing up to here changes a neuron's mean output.
            flat: whether a neuron may have several places in a row by now.
        """
        for user in node.users:
            if user in self._seen:
                continue
            self._seen.add(user)
            module, call = _module(self._model, user), _call(user)
            if layer := _layer(self._model, user):
                fits, own = self._fits(layer[1], flat), _own(self._model, user, self._shared)
                self.exclusive &= fits and own
                if fits:
                    yield layer[0], direct and own and layer[1].bias is not None
            elif _is_flattening(module, user):
                yield from self.of(user, direct, flat=True)
            elif self._lets_through(module, user):
                yield from self.of(user, direct, flat)
            elif isinstance(module, _POINTWISE) or call in _POINTWISE_CALLS or call in _SUMS:
                self.exclusive &= call not in _SUMS
                self.exclusive &= not isinstance(module, _NEVER_SILENT) and call not in _NEVER_SILENT_CALLS
                yield from self.of(user, False, flat)
            elif (user.args[1] if call is getattr else call) not in _ASKING:
                self.exclusive = False

    def _fits(self, layer: _Layer, flat: bool) -> bool:
        neurons = self._units.num_neurons
        if isinstance(layer, nn.Linear):
            # in a flattened row the places of a neuron are neighbours only if the neurons came first
            several = flat and self._units.dim != -1 and layer.in_features % neurons == 0
            return several or layer.in_features == neurons
        return layer.in_channels == neurons and _along_same_axis(layer, self._units)

    def _lets_through(self, module: nn.Module | None, node: fx.Node) -> bool:
        """Whether this neither mixes nor reorders neurons, and lets a mean through."""
        dim, call = self._units.dim, _call(node)
        if _is_transparent(module, node, dim):
            return True
        if call not in _MEANS:
            return False
        over = _argument(node, 1, "dim", ())
        axes = over if isinstance(over, tuple | list) else (over,)
        mixed = range(dim + 1) if dim >= 0 else range(dim, 0)
        return bool(axes) and not any(axis in mixed for axis in axes)


def _along_same_axis(layer: _Layer, units: PlasticUnits) -> bool:
    """Whether a layer has its neurons where the units have theirs: a convolution never has them last."""
    return isinstance(layer, nn.Linear) or units.dim != -1


def _is_transparent(module: nn.Module | None, node: fx.Node, dim: int) -> bool:
    """Whether this is a dropout, or a pool over places; ``dim`` is the neurons' axis."""
    call = _call(node)
    if isinstance(module, _TRANSPARENT) or call in _TRANSPARENT_CALLS:
        return True
    return dim != -1 and (isinstance(module, _POOLS) or call in _POOL_CALLS)


def _is_flattening(module: nn.Module | None, node: fx.Node) -> bool:
    """Whether this leaves rows: ``x.flatten(1)``, or ``x.view(rows, -1)``."""
    if isinstance(module, nn.Flatten):
        return bool(module.start_dim == 1 and module.end_dim == -1)
    if _call(node) in _FLATTENINGS:
        return _argument(node, 1, "start_dim", 0) == 1 and _argument(node, 2, "end_dim", -1) == -1
    if _call(node) not in _VIEWS:
        return False
    shape = node.args[1] if len(node.args) == 2 else node.args[1:]
    return isinstance(shape, tuple | list) and len(shape) == 2 and isinstance(shape[1], int)


def _argument(node: fx.Node, place: int, name: str, default: object) -> object:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)
