"""Forward passes on patterns of live and dead instead of values (see `hebbevo.nn.paths`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode

from hebbevo.nn.hebb_mask import HebbMask
from hebbevo.nn.patterns import (
    KEEPING,
    LIKE,
    PASSED,
    RULES,
    Boolean,
    NotFollowed,
    Op,
    boolean,
    gate,
    named,
    tensors_in,
    unknown,
)

Forward = Callable[[Tensor], Any]
"""A network, or its forward pass with tensors of its own."""


@dataclass(frozen=True)
class Call:
    """What a layer did: its output as a pattern, and the pattern that went on from there."""

    pattern: Tensor
    output: Tensor
    weight: Tensor
    axes: tuple[int, ...]
    positions: int


class Flow(TorchFunctionMode):
    """Runs a forward pass on patterns; keeps what layers do in ``calls``."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        # by identity, since a computed tensor inside vmap does not know that it requires gradients
        self._followed: dict[int, Tensor] = {}
        self._open: set[int] = set()

    def run(self, forward: Forward, row: Tensor) -> Tensor:
        """Run ``forward`` on ``row``; give the sum of its outputs, (), whose gradient tells who is heard.

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

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        self.look([*tensors_in(args), *tensors_in(kwargs)])
        op = Op(self, func, args, kwargs)
        patterns = op.patterns
        name, in_place = named(func)
        if not patterns or name in PASSED or (name in LIKE and not self.follows(args[0])):
            return func(*args, **kwargs)
        rule = RULES.get(func) or RULES.get(name, unknown)
        with torch.enable_grad():
            if in_place:
                target, *rest = args
                before = self.also(target.clone()) if self.follows(target) else target.clone()
                op = Op(self, getattr(Tensor, name, func), (before, *rest), kwargs)
                result = target.copy_(rule(op))
            else:
                result = rule(op)
        gates = rule is gate or (rule in KEEPING and all(self.is_open(pattern) for pattern in patterns))
        for tensor in tensors_in(result):
            if tensor.is_floating_point():
                self.also(tensor)
                (self._open.add if gates else self._open.discard)(id(tensor))
        return result

    def look(self, operands: list[Tensor]) -> None:
        """See what a function is given."""

    def follows(self, value: object) -> bool:
        """Tell whether ``value`` is a pattern that derives from the input."""
        return id(value) in self._followed

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

    def also(self, tensor: Tensor) -> Tensor:
        """Follow ``tensor`` from now on."""
        self._followed[id(tensor)] = tensor
        return tensor

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
    """Asks who hears connections as well."""

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

        def enter(frame: str, *call: object) -> None:
            self._frames.append((frame, set()))

        def leave(*call: object) -> None:
            self._frames.pop()

        with ExitStack() as hooks:
            for name, module in self._net.named_modules():
                frame = layer_name(self._net, name)
                hooks.callback(module.register_forward_pre_hook(partial(enter, frame)).remove)
                hooks.callback(module.register_forward_hook(leave).remove)
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
    if last == "module" and isinstance(net.get_submodule(parent), HebbMask):
        name = parent
    return name or type(net).__name__
