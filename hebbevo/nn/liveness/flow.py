"""Forward passes that are followed function by function, and leave no trace in the network.

`Follower` is what all have in common; a `Flow` runs on patterns of live and dead instead of values (see
`hebbevo.nn.liveness.paths`), `hebbevo.nn.unit_labels` runs on values with labels beside them.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode

from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.liveness.patterns import (
    GATES,
    KEEPING,
    LIKE,
    PASSED,
    RULES,
    Boolean,
    NotFollowed,
    Op,
    boolean,
    named,
    tensors_in,
    unknown,
)

Forward = Callable[[Tensor], Any]
"""A network, or its forward pass with tensors of its own."""

LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


class Follower(TorchFunctionMode):
    """Follows what derives from the inputs of a forward pass, function by function."""

    def __init__(self) -> None:
        super().__init__()
        # by identity, since a computed tensor inside vmap does not know that it requires gradients
        self._followed: dict[int, Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        operands = [*tensors_in(args), *tensors_in(kwargs)]
        self.look(operands)
        name, in_place = named(func)
        if (
            name in PASSED
            or not any(map(self.follows, operands))
            or (name in LIKE and not self.follows(args[0]))
        ):
            return self.constant(func, args, kwargs, name)
        return self.apply(func, args, kwargs, name, in_place)

    @abstractmethod
    def apply(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        name: str,
        in_place: bool,
    ) -> Any:
        """Run a function that is given something that is followed."""

    def constant(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], name: str
    ) -> Any:
        """Run a function whose result is not followed."""
        return func(*args, **kwargs)

    def look(self, operands: list[Tensor]) -> None:
        """See what a function is given."""

    def follows(self, value: object) -> bool:
        """Tell whether ``value`` derives from the input."""
        return id(value) in self._followed

    def also(self, tensor: Tensor) -> Tensor:
        """Follow ``tensor`` from now on."""
        self._followed[id(tensor)] = tensor
        return tensor


@contextmanager
def watching(net: nn.Module, enter: Callable[..., None], leave: Callable[..., None]) -> Iterator[None]:
    """Call ``enter(name, module, args, kwargs)`` and ``leave(..., output)`` around every module of ``net``.

    Where its forward fails, the output is ``None``.
    """
    with ExitStack() as hooks:
        for name, module in net.named_modules():
            before = module.register_forward_pre_hook(partial(enter, name), with_kwargs=True)
            hooks.callback(before.remove)
            # before other hooks, which then change what the module has put out
            after = module.register_forward_hook(
                partial(leave, name), prepend=True, with_kwargs=True, always_call=True
            )
            hooks.callback(after.remove)
        yield


@dataclass(frozen=True)
class Call:
    """What a layer did: its output as a pattern, and the pattern that went on from there."""

    pattern: Tensor
    output: Tensor
    weight: Tensor
    axes: tuple[int, ...]
    positions: int


class Flow(Follower):
    """Runs a forward pass on patterns; keeps what layers do in ``calls``."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._open: set[int] = set()

    def run(self, forward: Forward, row: Tensor) -> Tensor:
        """Run ``forward`` on ``row``; give the sum of its outputs, (), whose gradient tells what is used.

        Raises:
            NotFollowed: its outputs do not derive from ``row`` by any function that is followed.
        """
        inputs = self.also(row.clone())  # may be changed in place
        with self:
            outputs = forward(inputs)
        self.look([*tensors_in(outputs)])
        sums = [tensor.sum() for tensor in tensors_in(outputs) if self.follows(tensor)]
        if not sums:
            raise NotFollowed("nothing that can be followed leads from its input to its outputs")
        return reduce(add, sums)

    def apply(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        name: str,
        in_place: bool,
    ) -> Any:
        """Run a function on patterns by its rule."""
        op = Op(self, func, args, kwargs)
        patterns = op.patterns
        rule = RULES.get(func) or RULES.get(name, unknown)
        with torch.enable_grad():
            if in_place:
                target, *rest = args
                before = self.also(target.clone()) if self.follows(target) else target.clone()
                op = Op(self, getattr(Tensor, name, func), (before, *rest), kwargs)
                result = target.copy_(rule(op))
            else:
                result = rule(op)
        gates = rule in GATES or (rule in KEEPING and all(self.is_open(pattern) for pattern in patterns))
        for tensor in tensors_in(result):
            if tensor.is_floating_point():
                self.also(tensor)
                (self._open.add if gates else self._open.discard)(id(tensor))
        return result

    def is_open(self, pattern: Tensor) -> bool:
        """Tell whether the values that ``pattern`` stands for are never zero, though they may be constant."""
        return id(pattern) in self._open

    def factor(self, constant: Tensor) -> Tensor:
        """The pattern of a constant that patterns are multiplied with."""
        return (constant != 0).to(torch.float32)

    def weight(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The pattern of a layer's weights; its bias is no path."""
        return self.factor(weight)

    def record(self, pattern: Tensor, weight: Tensor, axes: tuple[int, ...], positions: int) -> Tensor:
        """Keep what a layer did, and return what goes on."""
        output = boolean(pattern)
        self.calls.append(Call(pattern, output, weight, axes, positions))
        return output

    def lose(self, function: str) -> None:
        """Note that a function is not followed."""

    def no_path(self, tensor: Tensor) -> Tensor:
        """What is laid beside patterns: they themselves, zero for constants; integers stay, as indices."""
        if self.follows(tensor) or not tensor.is_floating_point():
            return tensor
        return torch.zeros_like(tensor, dtype=torch.float32)


class Probed(Flow):
    """Adds zeros to what layers put out, and to their weights, by the number of the call."""

    def __init__(self, outputs: Mapping[int, Tensor], weights: Mapping[int, Tensor]) -> None:
        super().__init__()
        self._outputs = outputs
        self._weights = weights

    def weight(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The pattern of a layer's weights; its bias is no path."""
        pattern = super().weight(weight, bias)
        call = len(self.calls)
        return pattern + self._weights[call] if call in self._weights else pattern

    def record(self, pattern: Tensor, weight: Tensor, axes: tuple[int, ...], positions: int) -> Tensor:
        """Keep what a layer did, and return what goes on."""
        if (call := len(self.calls)) in self._outputs:
            pattern = pattern + self._outputs[call]
        return super().record(pattern, weight, axes, positions)


class Weighed(Flow):
    """Asks which connections are used as well."""

    def weight(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The pattern of a layer's weights; its bias is no path."""
        return super().weight(weight, bias).requires_grad_()


class Structure(Flow):
    """Takes everything as open, and learns the names.

    Attributes:
        names: of the layer of each call.
        parameters: weight and bias of each call.
        seen: ids of all tensors that any function was given.
        notes: what is not followed.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.names: list[str] = []
        self.parameters: list[tuple[Tensor, Tensor | None]] = []
        self.seen: set[int] = set()
        self.notes: list[str] = []
        self._net = net
        self._frames: list[tuple[str, set[str]]] = [(layer_name(net, ""), set())]
        self._known: dict[tuple[str, int], str] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow which module is running."""

        def enter(name: str, *call: object) -> None:
            self._frames.append((layer_name(self._net, name), set()))

        def leave(name: str, *call: object) -> None:
            self._frames.pop()

        with watching(self._net, enter, leave):
            yield

    def heard(self) -> list[bool]:
        """Tell of each call whether another layer listens."""
        layers = [call.pattern.sum() for call in self.calls if call.positions]
        if not layers:
            return [False] * len(self.calls)
        outputs = [call.output for call in self.calls]
        heard = gradients(reduce(add, layers), outputs)
        return [
            call.positions > 0 and bool((gradient > 0.5).any())
            for call, gradient in zip(self.calls, heard, strict=True)
        ]

    def look(self, operands: list[Tensor]) -> None:
        """See what a function is given: nothing must have come by a way that cannot be followed."""
        for tensor in operands:
            self.seen.add(id(tensor))
            # nothing but patterns requires gradients here, and nothing but rules makes them
            made = tensor.grad_fn
            foreign = isinstance(made, BackwardCFunction) and not isinstance(made, Boolean._backward_cls)
            if made is not None and (foreign or not self.follows(tensor)):
                raise NotFollowed(f"{made.name()} in {self._frames[-1][0]} cannot be looked into")

    def factor(self, constant: Tensor) -> Tensor:
        """The pattern of a constant that patterns are multiplied with: open."""
        return torch.ones_like(constant, dtype=torch.float32)

    def weight(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The pattern of a layer's weights; its bias is no path."""
        self.parameters.append((weight, bias))
        return super().weight(weight, bias)

    def record(self, pattern: Tensor, weight: Tensor, axes: tuple[int, ...], positions: int) -> Tensor:
        """Keep what a layer did, under the name of its module; further weights of a module are numbered."""
        module, called = self._frames[-1]
        key = module, id(self.parameters[-1][0])
        name = self._known.setdefault(key, f"{module}[{len(called)}]" if called else module)
        called.add(name)
        self.names.append(name)
        return super().record(pattern, weight, axes, positions)

    def lose(self, function: str) -> None:
        """Note that a function is not followed, and where."""
        self.notes.append(f"not followed: {function} in {self._frames[-1][0]}")


def gradients(objective: Tensor, patterns: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Who of ``patterns`` is heard in the objective."""
    return torch.autograd.grad(objective.sum(), patterns, allow_unused=True, materialize_grads=True)


def layer_name(net: nn.Module, name: str) -> str:
    """How a layer is called: the module, or the mask around it; the class where it is the net itself."""
    parent, _, last = name.rpartition(".")
    if last == "module" and isinstance(net.get_submodule(parent), PlasticConnections):
        name = parent
    return name or type(net).__name__


@contextmanager
def still(net: nn.Module, *, trained: bool = False) -> Iterator[dict[int, Tensor]]:
    """Let ``net`` run in evaluation mode on copies of its tensors; leave it exactly as it was.

    Gives the copies by the identity of the originals. They require no gradients, or with ``trained`` those
    parameters that do in ``net``. What a forward does to attributes, lists and dictionaries of its modules,
    and to the generators of random numbers, is undone. What is compiled runs as it is written.

    Raises:
        NotFollowed: part of it is no Python.
    """
    for name, module in net.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise NotFollowed(f"the TorchScript in {name or type(net).__name__} cannot be looked into")
    kept = _Kept.of(net)
    copies: dict[int, Tensor] = {}
    devices = set()
    drawn = random.getstate(), np.random.get_state()
    try:
        for module in net.modules():
            stores: list[dict[str, Any]] = [module._parameters, module._buffers]
            for store in stores:
                for name, tensor in store.items():
                    if tensor is not None:
                        if id(tensor) not in copies:
                            copy = tensor.detach().clone()
                            copies[id(tensor)] = copy.requires_grad_(trained and tensor.requires_grad)
                        store[name] = copies[id(tensor)]
                        devices |= {tensor.device} if tensor.is_cuda else set()
            # by hand: `train` may have been overridden, to change weights
            module.training = False
            module._compiled_call_impl = None
        with torch.random.fork_rng(devices=devices), _eagerly(net):
            yield copies
    finally:
        kept.restore()
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])


def _eagerly(net: nn.Module) -> AbstractContextManager[Any]:
    """Run modules that `torch.compile` has wrapped as they are written."""
    # to import the compiler takes seconds
    wrapped = any(hasattr(module, "_orig_mod") for module in net.modules())
    stance: AbstractContextManager[Any] = (
        torch.compiler.set_stance("force_eager") if wrapped else nullcontext()
    )
    return stance


@dataclass
class _Kept:
    """What a network holds beside its parameters and buffers, as it was.

    Attributes:
        containers: attributes of every module, and lists, dictionaries and sets in them, with their contents.
        tensors: plain attributes, with copies.
    """

    containers: list[tuple[Any, Any]] = field(default_factory=list)
    tensors: list[tuple[Tensor, Tensor, bool]] = field(default_factory=list)

    @classmethod
    def of(cls, net: nn.Module) -> _Kept:
        kept = cls()
        for value in _reachable(net):
            if isinstance(value, Tensor):
                if value.layout is torch.strided and not value.is_inference():
                    kept.tensors.append((value, value.detach().clone(), value.requires_grad))
            else:
                kept.containers.append((value, dict(value) if isinstance(value, dict) else list(value)))
        return kept

    def restore(self) -> None:
        for value, before in self.containers:
            if isinstance(value, dict):
                if [*map(id, value.values())] != [*map(id, before.values())] or [*value] != [*before]:
                    value.clear()
                    value.update(before)
            elif [*map(id, value)] != [*map(id, before)]:
                value.clear()
                (value.update if isinstance(value, set) else value.extend)(before)
        for tensor, copy, requires_grad in self.tensors:
            if not torch.equal(tensor, copy):
                with torch.no_grad():
                    tensor.copy_(copy)
            if tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)


_CONTAINERS = (dict, list, set, deque)


def _reachable(net: nn.Module) -> list[Any]:
    """Containers and tensors that modules of ``net`` hold, but for parameters and buffers."""
    found: dict[int, Any] = {}
    modules = {id(module): module for module in net.modules()}
    stores = {id(store) for module in modules.values() for store in (module._parameters, module._buffers)}
    open_ends: list[Any] = [vars(module) for module in modules.values()]
    while open_ends:
        value = open_ends.pop()
        if isinstance(value, nn.Module):
            value = vars(value)
        if id(value) in found or not isinstance(value, (*_CONTAINERS, tuple, Tensor)):
            continue
        found[id(value)] = value
        if id(value) in stores or isinstance(value, Tensor):
            continue
        open_ends += value.values() if isinstance(value, dict) else value
    return [value for value in found.values() if not isinstance(value, tuple)]


def held(net: nn.Module) -> list[Tensor]:
    """Tensors that a network holds at present, in whatever attributes and containers of its modules."""
    stores = [each for module in net.modules() for each in (module._parameters, module._buffers)]
    own = [tensor for store in stores for tensor in store.values() if tensor is not None]
    return [*own, *(value for value in _reachable(net) if isinstance(value, Tensor))]


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Have gradients and full precision, whatever is on around here."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        yield
