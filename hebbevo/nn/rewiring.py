"""`rewire`: put the layers of a model under a connection rule, in one line."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from torch import nn

from hebbevo.errors import UsageError
from hebbevo.messages import listed, unknown
from hebbevo.nn.connections import HebbMask, PlasticConnections
from hebbevo.nn.credit import Credited, WeightLayer
from hebbevo.rules import CONNECTIONS
from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.space.knobs import Value

Model = TypeVar("Model", bound=nn.Module)

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def rewire(
    model: Model,
    rule: str | ConnectionRule,
    *,
    layers: Collection[str] | None = None,
    last: bool = True,
    seed: int | None = None,
    **knobs: Value,
) -> Model:
    """Put layers of a model under a connection rule, each within `PlasticConnections` of its own.

    Training goes on as before: `hebbevo.nn.attach` lets connections leave and enter after the optimiser's
    steps. Parameters stay the same objects, so an optimiser that has them keeps them. Their names get a
    ``.module`` before ``.weight``; call this before a state is loaded that was saved from a rewired model.

    Args:
        model: any module; its layers are wrapped in place.
        rule: a name in `hebbevo.rules.CONNECTIONS`, or a rule of the user's own.
        layers: names of the layers, as in ``model.named_modules()``. By default these are all linear layers
            and convolutions, grouped ones too. Layers under a rule already, and those inside PyTorch's own
            layers such as its attention, are left out.
        last: whether the default includes the layer that is defined last, as publications mostly do.
        seed: of the random events of the first layer; the next ones have the numbers that follow. By default
            drawn from PyTorch's generator.
        knobs: of the rule, the same for each layer.

    Returns:
        The model; or, where the model itself is a layer, what is around it.

    Raises:
        UsageError: unknown rule, knob or layer, a value outside its range, two layers with one weight, or no
            layer at all. Nothing is wrapped then.

    >>> from hebbevo.nn import attach, rewire
    >>> model = rewire(nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10)), "magnitude")
    >>> model[0]
    PlasticConnections(
      weight
      (connections): ModuleList(
        (0): _Mask(235200)
      )
      (module): Linear(in_features=784, out_features=300, bias=True)
    )
    """
    own = _rule(rule)
    names = _layer_names(model, layers, last)
    modules = dict(model.named_modules())
    for name in names:
        if nn.parameter.is_lazy(modules[name].weight):
            raise UsageError(f"rewire: {name} has no shape yet; call the model once before")
    _refuse_shared_weights(modules, names)
    if not own.prunes:
        return model
    wrapped = {
        name: _wrapped(own, modules[name], None if seed is None else seed + place, knobs)
        for place, name in enumerate(names)
    }
    for name, module in wrapped.items():
        if not name:
            return module  # type: ignore[return-value]
        owner, _, key = name.rpartition(".")
        modules[owner]._modules[key] = module
    return model


def _wrapped(
    rule: ConnectionRule, layer: nn.Module, seed: int | None, knobs: Mapping[str, Value]
) -> PlasticConnections:
    if isinstance(rule, type(CONNECTIONS["hebb_mask"])):
        made: PlasticConnections = HebbMask(layer, ["weight"], seed=seed, **knobs)
    else:
        made = PlasticConnections(rule, layer, ["weight"], seed=seed, **knobs)
    return made.train(layer.training)


def _rule(rule: str | ConnectionRule) -> ConnectionRule:
    """The rule of a name, or the rule itself."""
    if isinstance(rule, ConnectionRule):
        return rule
    if rule not in CONNECTIONS:
        raise UsageError(f"rewire: unknown rule {unknown(rule, CONNECTIONS)}")
    return CONNECTIONS[rule]


def _layer_names(model: nn.Module, layers: Collection[str] | None, last: bool) -> list[str]:
    """The names of the layers to be wrapped, in the order of their definition."""
    if not isinstance(model, nn.Module):
        raise UsageError(f"rewire: {type(model).__name__} is no nn.Module; give it a model")
    modules = dict(model.named_modules())
    free = [name for name in modules if _can_be_wrapped(modules, name)]
    if layers is None:
        found = free if last else free[:-1]
        if not found:
            what = "linear layer or convolution" + ("" if last else " but the last one")
            raise UsageError(f"rewire: the model has no {what} that is under no rule yet")
        return found
    if isinstance(layers, str) or not layers:
        raise UsageError('rewire: give the names of layers in a list, for example layers=["fc1"]')
    for name in layers:
        if name not in modules:
            raise UsageError(f"rewire: unknown layer {unknown(name, [each for each in modules if each])}")
        if name not in free:
            what = f"{name!r} is a {type(modules[name]).__name__} that cannot be rewired"
            raise UsageError(f"rewire: {what}; can be: {listed(free) or 'none'}")
    return [name for name in free if name in layers]


def _can_be_wrapped(modules: Mapping[str, nn.Module], name: str) -> bool:
    """Whether a module is a layer with a weight that can be masked, and nothing else needs it plain."""
    if not isinstance(modules[name], WeightLayer):
        return False
    owners = [modules[name[:end]] for end in _ends_of_owners(name)]
    if any(isinstance(owner, PlasticConnections) for owner in owners):
        return False
    # modules of PyTorch use the weights of their layers without calling these
    return not owners or isinstance(owners[-1], _CONTAINERS) or not _is_of_pytorch(owners[-1])


def _ends_of_owners(name: str) -> list[int]:
    """Where the names of the modules end that a module is in, the model's own name, "", first."""
    return [0, *(place for place, letter in enumerate(name) if letter == ".")] if name else []


def _is_of_pytorch(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.") and not isinstance(module, Credited)


def _refuse_shared_weights(modules: Mapping[str, nn.Module], names: Sequence[str]) -> None:
    """Check that no weight would have two masks, or a mask for one of its layers only."""
    holders: dict[int, list[str]] = {}
    for name, module in modules.items():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                holders.setdefault(id(parameter), []).append(f"{name}.{key}".removeprefix("."))
    for name in names:
        shared = holders[id(modules[name].weight)]
        if len(shared) > 1:
            alone = f"mask it by PlasticConnections(rule, model, [{shared[0]!r}]), or name other layers"
            raise UsageError(f"rewire: {listed(shared)} are one parameter; {alone}")
