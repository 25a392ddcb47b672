"""Layers some of whose connections a rule prunes: a mask around any module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hebbevo.errors import UsageError
from hebbevo.nn import surgery
from hebbevo.nn.credit import Credited, Layer, product
from hebbevo.nn.plastic import Named, Plastic
from hebbevo.rules import CONNECTIONS
from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.rules.rule import Need
from hebbevo.space.knobs import Value, unknown

_SUMS = (Need.COACTIVATION, Need.INPUT_MEAN, Need.OUTPUT_MEAN, Need.INPUT_SQUARE, Need.OUTPUT_SQUARE)


class PlasticConnections(Plastic):
    """A module some of whose connections a rule masks.

    Takes and gives what the module takes and gives; works in any PyTorch training, with any optimiser. A
    connection that is out is a zero in every forward pass and has no gradient. After the events of the rule,
    which come with forward steps in training mode, other connections may be in.

    Attributes:
        module: the module itself.
        names: its masked parameters.

    Args:
        rule: a connection rule.
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
        self.to(layers[0].weight.device)
        self._calls: list[list[_Sums]] | None = None  # by parameter, of every call in this forward
        self.module = module
        starts = {each.start for each in rule.buffers.values() if isinstance(each.start, str)}
        self.configure(**{name: rule.knobs[name].default for name in starts} | knobs)
        for layer in layers:
            if isinstance(layer, Credited):
                layer.masked = True
        self._places = [
            (name, f"{owner}.{key}".removeprefix("."))
            for name, layer in zip(self.names, layers, strict=True)
            for owner, each in module.named_modules()  # each module once, whatever names it has
            for key, parameter in each._parameters.items()
            if parameter is layer.weight
        ]
        for place, layer in enumerate(layers):
            layer.register_forward_pre_hook(self._expect)
            if any(need in rule.all_needs() for need in _SUMS):
                layer.register_forward_hook(partial(self._see, place), with_kwargs=True)

    def masks(self) -> dict[str, Tensor]:
        """Which connections are in, by parameter, each bool of the parameter's shape."""
        return {name: mask.connected for name, mask, _ in self._masked()}

    def weights(self) -> dict[str, Tensor]:
        """What the module computes with, by parameter: its weights, zero where a connection is out."""
        return {
            name: mask.applied(self._connections(mask, layer.weight).undisturbed())
            for name, mask, layer in self._masked()
        }

    def sparsity(self) -> Tensor:
        """The fraction of connections that are out, scalar."""
        return 1 - torch.cat([mask.flatten() for mask in self.masks().values()]).float().mean()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module with its masked weights; in training mode, then let connections leave and enter.

        Raises:
            UsageError: the rule needs what only `hebbevo.nn.attach` gives.
        """
        if not self.training:
            return self._called(self.weights(), args, kwargs)
        self._refuse_recomputation()
        self._refuse_alone()
        weights = {}
        for name, mask, layer in self._masked():
            with torch.no_grad():
                self._connections(mask, layer.weight).restore()
            weights[name] = mask.applied(layer.weight)
        seen = self._calls = [[] for _ in self.names]
        try:
            output = self._called(weights, args, kwargs)
        finally:
            self._calls = None
        self._learn(seen)
        return output

    def configure(self, **knobs: Value | Sequence[float] | Tensor) -> None:
        """Set knobs before the training; the others stay as they are.

        Raises:
            UsageError: unknown knob, or a value outside its range; nothing is set then.
        """
        super().configure(**knobs)
        if not self.steps:
            for _, mask, layer in self._masked():
                surgery.begin(self._connections(mask, layer.weight.detach()))

    def extra_repr(self) -> str:
        """Name the masked parameters."""
        return ", ".join(self.names)

    def _set(self, key: str, value: object) -> None:
        super()._set(key, value)
        for name, buffer in self.rule.buffers.items():
            if buffer.start == key:
                for mask in self.connections:
                    getattr(mask, name).fill_(cast(float, value))

    def _called(self, weights: Mapping[str, Tensor], args: Any, kwargs: Any) -> Any:
        """What the module gives with these weights in every place where it has them."""
        places = {place: weights[name] for name, place in self._places}
        # a module of two names would be put back in the wrong order, were its weights taken for tied ones
        return functional_call(self.module, places, args, kwargs, tie_weights=False)

    def _masked(self) -> Iterator[tuple[str, _Mask, Layer]]:
        for name, mask in zip(self.names, self.connections, strict=True):
            yield name, cast(_Mask, mask), _owner(self.module, name)

    def _connections(
        self, mask: _Mask, weight: Tensor, sums: surgery.Tensors | None = None
    ) -> surgery.Connections:
        return surgery.Connections(
            self.rule,
            cast(surgery.Tensors, self._buffers),
            cast(surgery.Tensors, mask._buffers),
            weight,
            weight.numel(),
            sums=sums or {},
        )

    def _expect(self, *call: object) -> None:
        """See that a masked layer is called in a forward pass of this module, which gives it its weights."""
        if self._calls is None and self.training:
            self._refuse_recomputation()

    @torch.no_grad()
    def _see(
        self, place: int, layer: Layer, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], y: Tensor
    ) -> None:
        """Take in a call of a masked layer, at once: what follows may change its x and y in place."""
        if self._calls is None:
            return
        x = (*args, *kwargs.values())[0]
        single = torch.promote_types(layer.weight.dtype, torch.float32)
        with torch.autocast(y.device.type, enabled=False):
            x, y = self.rule.signals(Named(self._buffers), x.to(single), y.to(single))
            self._calls[place].append(_sums(self.rule, layer, x, y))

    @torch.no_grad()
    def _learn(self, calls: Sequence[Sequence[_Sums]]) -> None:
        """Let the rule move its state; then, unattached, see which connections are in next."""
        self.steps.add_(1)
        due = self.due(self.steps)
        sums = any(need in self.rule.all_needs() for need in _SUMS)
        for (_, mask, layer), own in zip(self._masked(), calls, strict=True):
            if sums and not own:
                continue
            link = self._connections(mask, layer.weight, _mean(own))
            self.rule.observe(link.k, link.s, link)
            if not self.attached:
                surgery.rewire(link, due)
        for _, _, layer in self._masked():
            if isinstance(layer, Credited):
                layer.move()


class _Mask(nn.Module):
    """The connections of one masked parameter; every tensor has its shape."""

    connected: Tensor  # bool, in at the next forward
    frozen: Tensor  # bool, out at the last forward step, where the rule keeps weights
    held: Tensor  # the weights at the last forward step, likewise
    gradient: Tensor  # the last gradient, pruned connections included, where the rule needs it

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
            self.register_buffer("held", weight.clone())
        if Need.DENSE_GRADIENT in rule.all_needs():
            self.register_buffer("gradient", torch.zeros_like(weight))

    def applied(self, weight: Tensor) -> Tensor:
        """Zero where out, whatever the weight, inf and NaN included."""
        if "gradient" in self._buffers and self.training:
            return cast(Tensor, _Masked.apply(weight, self.connected.clone(), self.gradient))  # type: ignore[no-untyped-call]
        return torch.where(_snapshot(self.connected), weight, 0)

    def extra_repr(self) -> str:
        return f"{self.connected.numel()}"


class _Masked(torch.autograd.Function):
    """Zero where a mask says so; every weight's gradient is kept, and passed on where a connection is in."""

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
        return cast(Tensor, _Masked.apply(weight, mask, gradient)), 0  # type: ignore[no-untyped-call]


def _snapshot(mask: Tensor) -> Tensor:
    """The mask of this forward, for the backward pass, when the next one has taken its place."""
    return cast(Tensor, _opaque_clone(mask)) if torch.compiler.is_compiling() else mask.clone()


# torch.compile would clone again in the backward pass, too late: https://github.com/pytorch/pytorch/pull/197039
@torch.library.custom_op("hebbevo::opaque_clone", mutates_args=(), schema="(Tensor values) -> Tensor")
def _opaque_clone(values: Tensor) -> Tensor:
    return values.clone()


_opaque_clone.register_fake(torch.empty_like)


class _Sums(NamedTuple):
    """Sums over the rows and positions of a call, by name, and their number."""

    totals: Mapping[str, Tensor]
    number: int


def _mean(calls: Sequence[_Sums]) -> dict[str, Tensor]:
    """The means over all calls."""
    number = sum(call.number for call in calls)
    names = calls[0].totals if calls else ()
    totals = {name: sum((call.totals[name] for call in calls[1:]), calls[0].totals[name]) for name in names}
    return {name: total / number for name, total in totals.items()}


def _sums(rule: ConnectionRule, layer: Layer, x: Tensor, y: Tensor) -> _Sums:
    """What a rule needs of a call, each of the shape of the weight or broadcast to it."""
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
    totals = {need.name.lower(): product(layer, *pair()) for need, pair in pairs.items() if need in needs}
    return _Sums(totals, number)


def _owner(module: nn.Module, name: str) -> Layer:
    return cast(Layer, module.get_submodule(name.rpartition(".")[0]))


def _layers(title: str, module: nn.Module, names: Sequence[str]) -> list[Layer]:
    """The layers whose weights are named.

    Raises:
        UsageError: a name that is no such weight or is given twice, or none at all.
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
        if name.rpartition(".")[2] != "weight" or not isinstance(owner, Layer) or type(owner) is _UNCALLED:
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


# attention has one, and takes its weight without calling it
_UNCALLED = nn.modules.linear.NonDynamicallyQuantizableLinear


class HebbMask(PlasticConnections):
    """A module under a Hebbian mask: ``HebbMask(nn.Linear(128, 10), ["weight"])``.

    The rule and its knobs are those of `hebbevo.rules.connections.hebb_mask`; a connection that is out keeps
    its weight and returns with it. Works alone in any PyTorch training; the other arguments are those of
    `PlasticConnections`.
    """

    knobs = CONNECTIONS["hebb_mask"].knobs

    def __init__(
        self, module: nn.Module, names: Sequence[str], *, seed: int | None = 0, **knobs: Value
    ) -> None:
        super().__init__(CONNECTIONS["hebb_mask"], module, names, seed=seed, **knobs)

    def permanences(self) -> dict[str, Tensor]:
        """The permanence of every connection, by parameter, each of the parameter's shape."""
        return {name: cast(Tensor, mask.permanence) for name, mask, _ in self._masked()}


def masked(rule: str, layer: nn.Module, *, seed: int | None = None, **knobs: Value) -> nn.Module:
    """Put a linear layer or a convolution under a connection rule; one that prunes nothing gives the layer.

    Args:
        rule: a name in `hebbevo.rules.CONNECTIONS`.
        layer: changed in nothing.
        seed: of the random events.
        knobs: of the rule.

    Raises:
        UsageError: unknown knob, or a value outside its range.
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
