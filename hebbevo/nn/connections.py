"""Layers some of whose connections a rule prunes: a mask around any module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hebbevo.errors import UsageError
from hebbevo.messages import unknown
from hebbevo.nn import surgery
from hebbevo.nn.connection_sums import add_means
from hebbevo.nn.credit import Credited, WeightLayer, coactivation_sum
from hebbevo.nn.layer_connections import EXPLORATION, PER_PARAMETER, LayerConnections, of_parameter
from hebbevo.nn.layer_context import Tensors
from hebbevo.nn.plastic import Plastic, TensorNamespace, known_on_host
from hebbevo.rules import CONNECTIONS
from hebbevo.rules.connections.density import DISTRIBUTION
from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.rules.rule import Need
from hebbevo.space.knobs import Value

_SUMS = (Need.COACTIVATION, Need.INPUT_MEAN, Need.OUTPUT_MEAN, Need.INPUT_SQUARE, Need.OUTPUT_SQUARE)


class PlasticConnections(Plastic):
    """A module some of whose connections a rule masks.

    Takes and gives what the module takes and gives; works in any PyTorch training, with any optimiser. A
    connection that is out is a zero in every forward pass and has no gradient. At the events of the rule,
    which come with forward steps in training mode, connections leave and enter.

    Attributes:
        module: the module itself.
        names: its masked parameters.

    Args:
        rule: a connection rule, of `hebbevo.rules.CONNECTIONS` or of the user's own.
        module: any module.
        names: the parameters to mask, each the weight of a linear layer or a convolution of any groups:
            ``["weight"]`` of the module itself, or for example ``["conv1.weight", "fc.weight"]``.
        seed: of the random events; by default drawn from PyTorch's generator.
        knobs: see ``rule.knobs``.

    Raises:
        UsageError: a parameter that cannot be masked, an unknown knob, or a value outside its range.
    """

    rule: ConnectionRule

    def __init__(
        self,
        rule: ConnectionRule,
        module: nn.Module,
        names: Sequence[str],
        *,
        seed: int | None = None,
        **knobs: Value,
    ) -> None:
        super().__init__(rule, seed)
        layers = _layers(self._title, module, names)
        self.names = tuple(names)
        self.connections = nn.ModuleList(_Mask(rule, layer.weight) for layer in layers)
        for buffer in _numbers_of(rule):
            self.register_buffer(buffer, torch.full((len(layers),), PER_PARAMETER[buffer]))
        self.to(layers[0].weight.device)
        # by parameter, the sums of every call in the present forward pass; None outside of one
        self._calls: list[list[_Sums]] | None = None
        self._observes_step = True  # whether the rule observes the present forward pass
        self.module = module
        starts = {each.start for each in rule.buffers.values() if isinstance(each.start, str)}
        self.configure(**{name: rule.knobs[name].default for name in starts} | knobs)
        for layer, mask in zip(layers, self.connections, strict=True):
            if isinstance(layer, Credited):
                layer.mask = (mask,)  # in a tuple, since the mask is not a part of the layer
        # every name under which the module has a masked weight, which may be tied to other layers
        self._places = [
            (name, f"{owner}.{key}".removeprefix("."))
            for name, layer in zip(self.names, layers, strict=True)
            for owner, each in module.named_modules()  # each module once, however many names it has
            for key, parameter in each._parameters.items()
            if parameter is layer.weight
        ]
        for place, layer in enumerate(layers):
            layer.register_forward_pre_hook(self._check_call)
            if any(need in rule.all_needs() for need in _SUMS):
                layer.register_forward_hook(partial(self._sum_call, place), with_kwargs=True)

    def masks(self) -> dict[str, Tensor]:
        """Which connections are in, by parameter, each bool of the parameter's shape."""
        return {name: mask.connected for name, mask, _ in self._masked_layers()}

    def weights(self) -> dict[str, Tensor]:
        """The weights that the module computes with, by parameter, zero where a connection is out."""
        return {
            name: mask.applied_to(connections.undisturbed())
            for (name, mask, _), connections in zip(
                self._masked_layers(), self._all_connections(), strict=True
            )
        }

    def sparsity(self) -> Tensor:
        """The fraction of connections that are out, a scalar, 0 to 1."""
        return 1 - torch.cat([mask.flatten() for mask in self.masks().values()]).float().mean()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module with its masked weights; in training mode, then let connections leave and enter.

        Raises:
            UsageError: the rule needs what only `hebbevo.nn.attach` gives, or this is gradient checkpointing.
        """
        if not self.training:
            return self._call_module(self.weights(), args, kwargs)
        self.refuse_recomputation()
        self.refuse_to_train_alone()
        weights = {}
        with torch.no_grad():
            for connections in self._all_connections():
                surgery.restore(connections)
        for name, mask, layer in self._masked_layers():
            weights[name] = mask.applied_to(layer.weight)
        self._observes_step = self._will_observe()
        calls = self._calls = [[] for _ in self.names]
        try:
            output = self._call_module(weights, args, kwargs)
        finally:
            self._calls = None
        self._end_step(calls)
        return output

    def configure(self, **knobs: Value | Sequence[float] | Tensor) -> None:
        """Set knobs before the training; the others stay as they are.

        Raises:
            UsageError: unknown knob, or a value outside its range; nothing is set then.
        """
        super().configure(**knobs)
        if not self.steps:
            with torch.no_grad():
                surgery.prepare_connections(self._all_connections())

    def extra_repr(self) -> str:
        """Name the masked parameters."""
        return ", ".join(self.names)

    def _set(self, key: str, value: object) -> None:
        super()._set(key, value)
        for name, buffer in self.rule.buffers.items():
            if buffer.start == key:
                for mask in self.connections:
                    getattr(mask, name).fill_(cast(float, value))

    def _call_module(self, weights: Mapping[str, Tensor], args: Any, kwargs: Any) -> Any:
        """Call the module with these weights in every place where it has them."""
        places = {place: weights[name] for name, place in self._places}
        # with tied weights a module that has two names would get its parameters back in the wrong order
        return functional_call(self.module, places, args, kwargs, tie_weights=False)

    def _masked_layers(self) -> Iterator[tuple[str, _Mask, WeightLayer]]:
        for name, mask in zip(self.names, self.connections, strict=True):
            yield name, cast(_Mask, mask), _owner(self.module, name)

    def _all_connections(self) -> list[LayerConnections]:
        """The connections of every masked layer."""
        return [self._layer_connections(place) for place in range(len(self.names))]

    def _layer_connections(self, place: int, sums: Tensors | None = None) -> LayerConnections:
        """The connections of a masked layer in the form that `hebbevo.nn.surgery` works on."""
        weight = _owner(self.module, self.names[place]).weight
        return LayerConnections(
            self.rule,
            of_parameter(cast(Tensors, self._buffers), place),
            cast(Tensors, self.connections[place]._buffers),
            weight,
            weight.numel(),
            sums=sums or {},
        )

    def _will_observe(self) -> bool:
        """Whether the rule may observe the next step; where that would wait for a device, it may."""
        if not known_on_host(self.steps):
            return True
        step = self.steps + 1
        return bool(self.rule.observes(TensorNamespace(self._buffers), step, self.total_steps))

    def _check_call(self, *call: object) -> None:
        """Refuse a call of a masked layer in a backward pass: checkpointing inside of the module."""
        if self._calls is None and self.training:
            self.refuse_recomputation()

    @torch.no_grad()
    def _sum_call(
        self, place: int, layer: WeightLayer, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], y: Tensor
    ) -> None:
        """Sum up a call of a masked layer at once: later its inputs and outputs may be changed in place."""
        if self._calls is None:
            return
        if not self._observes_step:
            self._calls[place].append(_Sums({}, 1))
            return
        x = (*args, *kwargs.values())[0]
        single = torch.promote_types(layer.weight.dtype, torch.float32)
        with torch.autocast(y.device.type, enabled=False):
            x, y = self.rule.signals(TensorNamespace(self._buffers), x.to(single), y.to(single))
            self._calls[place].append(_sums(self.rule, layer, x, y))

    @torch.no_grad()
    def _end_step(self, calls: Sequence[Sequence[_Sums]]) -> None:
        """Let the rule update its state; unattached, let connections leave and enter too."""
        self.steps.add_(1)
        event = self.is_event(self.steps)
        needs_sums = any(need in self.rule.all_needs() for need in _SUMS)
        for place, own in enumerate(calls):
            if needs_sums and not own:
                continue  # the layer was not called
            connections = self._layer_connections(place, _means(own))
            if self._observes_step:
                add_means(connections)
                self.rule.observe(connections.k, connections.s, connections)
            if not self.attached and (not known_on_host(event) or event):
                surgery.rewire(connections, event)
        for _, _, layer in self._masked_layers():
            if isinstance(layer, Credited):
                layer.apply_updates()


class _Mask(nn.Module):
    """The connections of one masked parameter; every tensor has its shape.

    Attributes:
        connected: bool, which connections are in at the next forward step.
        frozen: bool, which were out at the last forward step; where the rule keeps weights.
        held: the weights of the connections that were out at the last forward step, which enter again with
            them; zero elsewhere; where the rule keeps weights.
        gradient: the last gradient, that of pruned connections included; where the rule needs it.
        explored: bool, which have ever been in; where the rule grows.
        grown: bool, which have ever entered after the start; where the rule grows.
    """

    connected: Tensor
    frozen: Tensor
    held: Tensor
    gradient: Tensor

    def __init__(self, rule: ConnectionRule, weight: Tensor) -> None:
        super().__init__()
        weight = weight.detach()
        at_least_single = torch.promote_types(weight.dtype, torch.float32)
        for name, buffer in rule.buffers.items():
            start = 0.0 if isinstance(buffer.start, str) else buffer.start
            self.register_buffer(name, torch.full_like(weight, start, dtype=at_least_single))
        self.register_buffer("connected", torch.ones_like(weight, dtype=torch.bool))
        if rule.keeps_weights:
            self.register_buffer("frozen", torch.zeros_like(weight, dtype=torch.bool))
            self.register_buffer("held", torch.zeros_like(weight))
        if Need.DENSE_GRADIENT in rule.all_needs():
            self.register_buffer("gradient", torch.zeros_like(weight))
        if rule.grows:
            for name in EXPLORATION:
                self.register_buffer(name, torch.zeros_like(weight, dtype=torch.bool))

    def applied_to(self, weight: Tensor) -> Tensor:
        """Zero where a connection is out, else the weight; weights that are out may be infinite or NaN."""
        if "gradient" in self._buffers and self.training:
            return cast(Tensor, _KeepDenseGradient.apply(weight, self.connected.clone(), self.gradient))  # type: ignore[no-untyped-call]
        return torch.where(_snapshot(self.connected), weight, 0)

    def extra_repr(self) -> str:
        return f"{self.connected.numel()}"


class _KeepDenseGradient(torch.autograd.Function):
    """Weights, zero where a connection is out; keeps the gradient of all of them for the rule."""

    @staticmethod
    def forward(weight: Tensor, mask: Tensor, gradient: Tensor) -> Tensor:
        return torch.where(mask, weight, 0)

    @staticmethod
    def setup_context(
        ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Tensor, Tensor], output: object
    ) -> None:
        ctx.mask, ctx.gradient = inputs[1:]  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        ctx.gradient.copy_(grad)
        return torch.where(ctx.mask, grad, 0), None, None

    @staticmethod
    def vmap(
        info: object, in_dims: tuple[int | None, ...], weight: Tensor, mask: Tensor, gradient: Tensor
    ) -> tuple[Tensor, int]:
        assert set(in_dims) == {0}, "networks are stacked along the first axis, every tensor of theirs"
        return cast(Tensor, _KeepDenseGradient.apply(weight, mask, gradient)), 0  # type: ignore[no-untyped-call]


def _numbers_of(rule: ConnectionRule) -> list[str]:
    """The state with a number for each masked parameter that a rule needs."""
    names = ["layer_density"] if DISTRIBUTION.name in rule.knobs else []
    return names + (["best_loss", "stalled", "longest_stall"] if Need.LOSS in rule.all_needs() else [])


def _snapshot(mask: Tensor) -> Tensor:
    """A copy of the mask for the backward pass, by which time the mask may have changed."""
    return cast(Tensor, _opaque_clone(mask)) if torch.compiler.is_compiling() else mask.clone()


# torch.compile would recompute a plain clone in the backward pass, which is too late:
# https://github.com/pytorch/pytorch/pull/197039
@torch.library.custom_op("hebbevo::opaque_clone", mutates_args=(), schema="(Tensor values) -> Tensor")
def _opaque_clone(values: Tensor) -> Tensor:
    return values.clone()


_opaque_clone.register_fake(torch.empty_like)


class _Sums(NamedTuple):
    """Sums over the rows and positions of a call of a layer.

    Attributes:
        totals: by the names of `hebbevo.rules.connections.rule.ConnectionLayer`.
        number: of rows and positions.
    """

    totals: Mapping[str, Tensor]
    number: int


def _means(calls: Sequence[_Sums]) -> dict[str, Tensor]:
    """The means over the rows and positions of all calls."""
    number = sum(call.number for call in calls)
    names = calls[0].totals if calls else ()
    totals = {name: sum((call.totals[name] for call in calls[1:]), calls[0].totals[name]) for name in names}
    return {name: total / number for name, total in totals.items()}


def _sums(rule: ConnectionRule, layer: WeightLayer, x: Tensor, y: Tensor) -> _Sums:
    """The sums of a call that a rule needs, each of a shape that is broadcast to that of the weight."""
    if isinstance(layer, nn.Linear):
        x, y = x.reshape(-1, layer.in_features), y.reshape(-1, layer.out_features)
        number = len(y)
    else:
        if y.dim() < layer.weight.dim():
            x, y = x.unsqueeze(0), y.unsqueeze(0)
        number = y.numel() // layer.out_channels
    pairs: dict[Need, Callable[[], tuple[Tensor, Tensor]]] = {
        Need.COACTIVATION: lambda: (x, y),
        Need.INPUT_MEAN: lambda: (x, torch.ones_like(y)),
        Need.OUTPUT_MEAN: lambda: (torch.ones_like(x), y),
        Need.INPUT_SQUARE: lambda: (x.square(), torch.ones_like(y)),
        Need.OUTPUT_SQUARE: lambda: (torch.ones_like(x), y.square()),
    }
    needs = rule.all_needs()
    totals = {
        need.name.lower(): coactivation_sum(layer, *pair()) for need, pair in pairs.items() if need in needs
    }
    return _Sums(totals, number)


def _owner(module: nn.Module, name: str) -> WeightLayer:
    """The layer that has the parameter ``name`` of ``module``."""
    return cast(WeightLayer, module.get_submodule(name.rpartition(".")[0]))


def _layers(title: str, module: nn.Module, names: Sequence[str]) -> list[WeightLayer]:
    """The layers whose weights are named.

    Raises:
        UsageError: a name that is no weight of a layer, or is given twice, or no name at all.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(f"{title}: {type(module).__name__} is no nn.Module; give it one to mask")
    if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f'{title}: name the parameters to mask in a list, for example ["weight"]')
    parameters = dict(module.named_parameters(remove_duplicate=False))
    seen: dict[int, str] = {}
    for name in names:
        if name not in parameters:
            raise UsageError(f"{title}: unknown parameter {unknown(name, parameters)}")
        owner, weight = _owner(module, name), parameters[name]
        if (
            name.rpartition(".")[2] != "weight"
            or not isinstance(owner, WeightLayer)
            or type(owner) is _UNCALLED
        ):
            raise UsageError(
                f"{title}: cannot mask {name!r} of {type(owner).__name__}; "
                "name the weight of an nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d that is called"
            )
        if nn.parameter.is_lazy(weight):
            raise UsageError(f"{title}: {name!r} has no shape yet; call the module once before masking it")
        if id(weight) in seen:
            raise UsageError(f"{title}: {seen[id(weight)]!r} and {name!r} are one parameter; name it once")
        seen[id(weight)] = name
    return [_owner(module, name) for name in names]


# the output layer of PyTorch's attention, which takes the weight without calling the layer
_UNCALLED = nn.modules.linear.NonDynamicallyQuantizableLinear


class HebbMask(PlasticConnections):
    """A module under a Hebbian mask: connections whose two ends disagree leave, and may enter again.

    The rule and its knobs are those of `hebbevo.rules.connections.hebb_mask`; the other arguments are those
    of `PlasticConnections`. A connection that is out keeps its weight, and enters again with it.

    >>> import torch
    >>> from torch import nn
    >>> from hebbevo.nn import HebbMask
    >>> layer = HebbMask(nn.Linear(20, 10), ["weight"], update_form="agreement", permanence_rate=1.0)
    >>> for _ in range(20):
    ...     y = layer(torch.randn(16, 20))
    >>> layer.sparsity() > 0
    tensor(True)
    """

    knobs = CONNECTIONS["hebb_mask"].knobs

    def __init__(
        self, module: nn.Module, names: Sequence[str], *, seed: int | None = 0, **knobs: Value
    ) -> None:
        super().__init__(CONNECTIONS["hebb_mask"], module, names, seed=seed, **knobs)

    def permanences(self) -> dict[str, Tensor]:
        """The permanence of every connection, by parameter, each of the parameter's shape."""
        return {name: cast(Tensor, mask.permanence) for name, mask, _ in self._masked_layers()}


def masked(rule: str, layer: nn.Module, *, seed: int | None = None, **knobs: Value) -> nn.Module:
    """Put a linear layer or a convolution under a connection rule.

    Args:
        rule: a name in `hebbevo.rules.CONNECTIONS`.
        layer: its parameters are those that the result trains.
        seed: of the random events; by default drawn from PyTorch's generator.
        knobs: of the rule.

    Returns:
        `PlasticConnections` around the layer, or the layer itself under a rule that never prunes.

    Raises:
        UsageError: unknown rule or knob, or a value outside its range.

    >>> from torch import nn
    >>> from hebbevo.nn import masked
    >>> masked("magnitude", nn.Linear(300, 100), density=0.1).names
    ('weight',)
    """
    if not CONNECTIONS[rule].prunes:
        return layer
    if rule in _MODULES:
        return _MODULES[rule](layer, ["weight"], seed=seed, **knobs)
    return PlasticConnections(CONNECTIONS[rule], layer, ["weight"], seed=seed, **knobs)


_MODULES = {"hebb_mask": HebbMask}


def plastic_connections(model: nn.Module) -> dict[str, PlasticConnections]:
    """Find the masks in ``model``, by dotted name, in the order of definition."""
    return {name: module for name, module in model.named_modules() if isinstance(module, PlasticConnections)}
