"""Modules of PyTorch alone that compute what plastic modules compute in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize, prune

from hebbevo.errors import UsageError
from hebbevo.nn.backward_pass import OutputError
from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.credit import Credited, uncredited
from hebbevo.nn.feature_flow import FeatureFlow, FlowPenalty
from hebbevo.nn.regularizer import Regularized
from hebbevo.nn.similarity_matching import SimilarityMatching, SimilarityMatchingNetwork
from hebbevo.nn.traceable import Traceable
from hebbevo.nn.units import PlasticUnits

Kind = TypeVar("Kind", bound=nn.Module)


class _Scale(nn.Module):
    def __init__(self, factor: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor  # type: ignore[operator]


class _Select(nn.Module):
    def __init__(self, index: Tensor, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("index", index)

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(self.dim, self.index)  # type: ignore[arg-type]


class _First(nn.Module):
    def forward(self, output: Tensor, path: list[Tensor]) -> Tensor:
        return output


def scale(factor: Tensor) -> nn.Module:
    """A module that multiplies its input by ``factor``, which is broadcast.

    >>> scale(torch.tensor([1.0, 0.0]))(torch.ones(1, 2))
    tensor([[1., 0.]])
    """
    return traced(_Scale(factor), "Scale")


def select(index: Tensor, dim: int) -> nn.Module:
    """A module that selects elements of its input along an axis.

    >>> select(torch.tensor([2, 0]), -1)(torch.tensor([[5.0, 6.0, 7.0]]))
    tensor([[7., 5.]])
    """
    return traced(_Select(index, dim), "Select")


def traced(module: nn.Module, name: str) -> nn.Module:
    """The same module as a `torch.fx.GraphModule` of a given name, which is saved with its own code.

    So no class of hebbevo is needed to load it.
    """
    graph = fx.Tracer().trace(module)
    for node in graph.nodes:
        node.type = None  # annotations as texts could not be saved
    return fx.GraphModule(module, graph, name)


def plain_units(units: PlasticUnits, stays: Tensor, axes: int, *, selects: bool) -> nn.Module:
    """A module of PyTorch alone in the place of plastic units.

    Args:
        units: the module.
        stays: which of its units are left, (num_neurons,) bool.
        axes: of the tensors that it takes.
        selects: whether it is given all units, and has to select those that stay.
    """
    parts: list[nn.Module] = []
    if selects and not bool(stays.all()):
        parts.append(select(stays.nonzero()[:, 0], units.dim))
    if not units.inputs:
        parts.append(nn.ReLU())
    factor = units.factor()[stays]
    if not bool((factor == 1).all()):
        behind = axes - 1 - units.dim % axes
        parts.append(scale(factor.reshape(-1, *(1,) * behind)))
    if not parts:
        return nn.Identity()
    return parts[0] if len(parts) == 1 else nn.Sequential(*parts)


def without_masks(net: nn.Module) -> nn.Module:
    """Replace connection masks and layers that learn by rules by plain ones, in place; return the network.

    Where a connection is out, the weight is zero. Weights that are computed become parameters. Layers of
    similarity matching become the steps to their fixed point, one after the other.

    Args:
        net: in evaluation mode.

    Raises:
        UsageError: a class of the user's own derives from such a module.
    """
    while (found := next(_of_kind(net, PlasticConnections), None)) is not None:
        name, mask = found
        _refuse_own_forward(name, mask, PlasticConnections)
        with torch.no_grad():
            for parameter, weight in mask.weights().items():
                mask.module.get_parameter(parameter).copy_(weight)
        for module in mask.module.modules():
            for hooks in (module._forward_hooks, module._forward_pre_hooks):
                for number in [number for number, hook in hooks.items() if _owner(hook) is mask]:
                    del hooks[number]
                    module._forward_hooks_with_kwargs.pop(number, None)
        net = replaced(net, mask, mask.module)
    for module in net.modules():
        _fix_computed_weights(module)
    for module in net.modules():
        for each in (module._forward_hooks, module._forward_pre_hooks):
            for number in [number for number, hook in each.items() if isinstance(_owner(hook), OutputError)]:
                del each[number]
    while (credited := next(_of_kind(net, Credited), None)) is not None:
        net = replaced(net, credited[1], uncredited(credited[1]))
    for kind in (SimilarityMatchingNetwork, SimilarityMatching):  # first the networks, with all their layers
        for name, module in [*_of_kind(net, kind)]:
            if kind is SimilarityMatchingNetwork:
                _refuse_own_forward(name, module, kind)
            net = replaced(net, module, traced(module, "SimilarityMatching"))  # the steps to the fixed point
    return _without_regularizers(net)


def without_traceable(net: nn.Module) -> nn.Module:
    """Replace activation functions and fixed layers by their traced code, in place; return the network."""
    for _, module in [*_of_kind(net, Traceable)]:
        net = replaced(net, module, traced(module, type(module).__name__))
    return net


def _without_regularizers(net: nn.Module) -> nn.Module:
    """Replace noise and penalties, which do nothing in evaluation mode, in place."""
    while (flow := next(_of_kind(net, FeatureFlow), None)) is not None:
        _refuse_own_forward(*flow, FeatureFlow)
        net = replaced(net, flow[1], flow[1].layers)
    while (found := next(_of_kind(net, Regularized), None)) is not None:
        # a penalty is given the path of the features too
        plain = traced(_First(), "First") if isinstance(found[1], FlowPenalty) else nn.Identity()
        net = replaced(net, found[1], plain)
    return net


def _fix_computed_weights(module: nn.Module) -> None:
    """Turn weights that are computed, as by `torch.nn.utils.prune`, into parameters with their values."""
    for hook in [*module._forward_pre_hooks.values()]:
        if isinstance(hook, prune.BasePruningMethod):
            prune.remove(module, hook._tensor_name)  # type: ignore[no-untyped-call]
    if parametrize.is_parametrized(module):
        # by hand, since PyTorch's own function changes the class, which other copies share
        values = {name: getattr(module, name).detach().clone() for name in cast(Any, module).parametrizations}
        del module._modules["parametrizations"]
        module.__class__ = type(module).__bases__[0]
        for name, value in values.items():
            module.register_parameter(name, nn.Parameter(value))


def without_plastic_units(net: nn.Module, plain: Callable[[str, PlasticUnits], nn.Module]) -> nn.Module:
    """Replace plastic units by what ``plain`` gives for their name and module, in place.

    Raises:
        UsageError: a class of the user's own derives from plastic units.
    """
    for name, units in [*_of_kind(net, PlasticUnits)]:
        _refuse_own_forward(name, units, PlasticUnits)
        net = replaced(net, units, plain(name, units))
    return net


def replaced(net: nn.Module, module: nn.Module, by: nn.Module) -> nn.Module:
    """Replace a module in every place where ``net`` has it; returns ``net``, or ``by`` in its place."""
    for parent in [*net.modules()]:
        for name, child in parent._modules.items():
            if child is module:
                parent._modules[name] = by
    return by if net is module else net


def inner_layer(module: nn.Module) -> nn.Module:
    """A module without the mask around it, if it has one."""
    return inner_layer(module.module) if isinstance(module, PlasticConnections) else module


def _of_kind(net: nn.Module, kind: type[Kind]) -> Iterator[tuple[str, Kind]]:
    return ((name, module) for name, module in net.named_modules() if isinstance(module, kind))


def _owner(hook: object) -> object:
    return getattr(getattr(hook, "func", hook), "__self__", None)


def _refuse_own_forward(name: str, module: nn.Module, kind: type[nn.Module]) -> None:
    if type(module).forward is not kind.forward:
        what = f"its class {type(module).__name__} has a forward of its own"
        raise UsageError(f"compact: {name or type(module).__name__}: {what}; use a module of hebbevo.nn")
