"""Plain multilayer perceptrons: the networks that the compact stack can rebuild layer by layer.

A model is one if it is a chain of linear layers with units between them and nothing else, made of classes
whose behaviour is known: a subclass or a hook may do anything. `mlp_layout` checks the classes first, and
then runs the model once to see that its modules are called one after the other.

For example, ``Sequential(Flatten(), Linear(4, 5), Stamina(5), Linear(5, 2))`` has the layers ``("1", "3")``
and the widths (4, 5, 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.forward_pass.example_inputs import run_on_example
from hebbevo.nn.forward_pass.following import Follower, NotFollowed, module_hooks, tensors_in
from hebbevo.nn.forward_pass.side_effects import without_side_effects
from hebbevo.nn.units import PlasticUnits

# by name, since networks are in a package above this one
_MLP_CLASSES = {"torch.nn.modules.container.Sequential", "hebbevo.networks.mlp.MLP"}
_CONTAINERS = (nn.Sequential, nn.ModuleList)
_IDENTITIES = (nn.Identity, nn.Flatten)

INPUTS = -1
"""The place of units before the first layer."""


@dataclass(frozen=True)
class MlpLayout:
    """The layers and units of a plain multilayer perceptron.

    Attributes:
        layers: names of the linear layers, in their order.
        units: name of the units behind a layer, by the place of the layer; those before the first layer have
            the place `INPUTS`. A layer without units has no entry.
        widths: inputs, units of each hidden layer, outputs.
        bias: whether each layer has one.
        masked: name of the connection mask around a layer, by its place. A layer without one has no entry.

    Units may have gates that are trained.
    """

    layers: tuple[str, ...]
    units: dict[int, str]
    widths: tuple[int, ...]
    bias: tuple[bool, ...]
    masked: dict[int, str] = field(default_factory=dict)


def mlp_layout(model: nn.Module) -> MlpLayout | None:
    """Find the layers and units of ``model``; ``None`` if it is no plain multilayer perceptron.

    The model is left as it was.

    >>> mlp_layout(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))).widths
    (4, 5, 2)
    """
    if _qualified_name(model) not in _MLP_CLASSES:
        return None
    modules = dict(model.named_modules())
    masked = {name: mask for name, mask in modules.items() if _is_plain_mask(mask)}
    inner = {f"{name}.module": mask for name, mask in masked.items()}
    # what is inside a mask runs by its forward, which is known
    inside = [name for name in modules if any(name.startswith(f"{mask}.") for mask in masked)]
    for name, module in modules.items():
        if name in inner:
            if not _is_untouched(module, inner[name]):
                return None
        elif name not in inside and not _is_known(module, name in masked):
            return None
    try:
        steps = run_on_example(model, None, partial(_StepRecorder.of, model))
    except UsageError:
        return None
    return _layout_of_steps(modules, steps, masked)


def _layout_of_steps(
    modules: Mapping[str, nn.Module], steps: Sequence[str], masked: Mapping[str, nn.Module]
) -> MlpLayout | None:
    """The layout of a model that called ``steps`` one after the other, if it is one."""
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
            # flattening rows is part of a layout before the first layer only
            if layers or not (module is None or (module.start_dim, module.end_dim) == (1, -1)):
                return None
        elif not isinstance(module, _IDENTITIES):
            place = len(layers) - 1
            # one layer of units a place, and input units at the inputs only
            if place in units or (place == INPUTS) is not getattr(module, "inputs", False):
                return None
            units[place] = name
    called = [*layers, *units.values()]
    # the last layer has no units, and nothing is called twice
    if not layers or len(set(called)) < len(called) or len(layers) - 1 in units:
        return None
    linear = [layer for name in layers if isinstance(layer := modules[name], nn.Linear)]
    parameters = [each for layer in linear for each in layer.parameters()]
    # all parameters are trained, and none is shared
    if len({*map(id, parameters)}) < len(parameters) or not all(p.requires_grad for p in parameters):
        return None
    widths = (linear[0].in_features, *(layer.out_features for layer in linear))
    return MlpLayout(tuple(layers), units, widths, tuple(layer.bias is not None for layer in linear), masks)


def _qualified_name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _is_plain_units(module: nn.Module) -> bool:
    """Whether these are ReLU or plastic units that do to their input only what a layout may contain."""
    if not isinstance(module, PlasticUnits):
        return type(module) is nn.ReLU
    gated = bool(module.rule.parameters)  # whose penalty is a part of the rule
    plain = type(module).forward is PlasticUnits.forward and (gated or not module.penalised)
    return plain and (module.dim == -1 or not module.rule.prunes)


def _is_plain_mask(module: nn.Module) -> bool:
    """Whether this masks the weights of one linear layer and nothing else."""
    if not isinstance(module, PlasticConnections) or type(module).forward is not PlasticConnections.forward:
        return False
    return type(module.module) is nn.Linear and list(module.names) == ["weight"]


def _is_known(module: nn.Module, is_mask: bool) -> bool:
    """Whether a module may be part of a layout and does what its class says."""
    kinds = (*_CONTAINERS, *_IDENTITIES, nn.Linear)
    known = (
        is_mask or type(module) in kinds or _qualified_name(module) in _MLP_CLASSES or _is_plain_units(module)
    )
    return known and _is_untouched(module, None)


def _is_untouched(module: nn.Module, owner: nn.Module | None) -> bool:
    """Whether a module has the forward of its class, and no hooks but those of the mask that owns it."""
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    owners = [getattr(getattr(hook, "func", hook), "__self__", None) for hook in hooks]
    return "forward" not in vars(module) and all(each is not None and each is owner for each in owners)


class _StepRecorder(Follower):
    """Records what a model does step by step, provided that each step takes the result of the one before.

    Attributes:
        names: of the modules, in the order of their calls; `FLATTEN` stands for ``x.flatten(1)``.
    """

    FLATTEN = ".flatten"

    def __init__(self, net: nn.Module, x: Tensor) -> None:
        super().__init__()
        self.names: list[str] = []
        self._containers = {
            id(module)
            for module in net.modules()
            if type(module) in _CONTAINERS or _qualified_name(module) in _MLP_CLASSES
        }
        self._depth = 0  # of running modules that are no containers
        self._last = self.follow(x)

    @classmethod
    def of(cls, net: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
        """Run ``net``, and return the names of its steps.

        Raises:
            NotFollowed: it does something else, or not one after the other.
        """
        (x,) = inputs
        with without_side_effects(net):
            recorder = cls(net, x)
            with module_hooks(net, recorder._enter, recorder._leave), recorder:
                output = net(x)
            if output is not recorder._last:
                raise NotFollowed("its output is not that of its last layer")
        return recorder.names

    def run_followed(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        name: str,
        in_place: bool,
    ) -> Any:
        """Run a function. Outside of a module it can only be the step `FLATTEN`."""
        result = func(*args, **kwargs)
        if not self._depth:
            if (name, tuple(args[1:]), kwargs) != ("flatten", (1,), {}):
                raise NotFollowed(f"{name} is no step of a plain multilayer perceptron")
            self._record(self.FLATTEN, args[0], result)
        return result

    def _enter(self, name: str, module: nn.Module, *call: object) -> None:
        self._depth += id(module) not in self._containers

    def _leave(self, name: str, module: nn.Module, args: object, kwargs: object, output: object) -> None:
        if id(module) in self._containers:
            return
        self._depth -= 1
        if not self._depth:
            (x,) = tensors_in([args, kwargs])
            self._record(name, x, output)

    def _record(self, name: str, x: Tensor, output: object) -> None:
        if x is not self._last or not isinstance(output, Tensor):
            raise NotFollowed("its layers are not called one after the other")
        self.names.append(name)
        self._last = self.follow(output)
