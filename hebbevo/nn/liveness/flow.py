"""Forward passes that run on patterns instead of values, by the rules of `hebbevo.nn.liveness.patterns`.

A forward pass on patterns shows where live paths from the inputs lead: the elements that they *reach*. The
gradient of its outputs with respect to a pattern shows from where live paths lead on to the outputs: the
elements that are *used*.

`PatternRun` is the plain run. `ProbedRun` and `WeightRun` give the gradients that a count of neurons, or of
connections, needs. `StructureRun` takes every weight as nonzero, and finds the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

from hebbevo.nn.forward_pass.following import NotFollowed, layer_name, module_hooks, tensors_in
from hebbevo.nn.liveness.patterns import (
    GATES,
    NONZERO_IF_ARGUMENTS_ARE,
    RULES,
    Binary,
    PatternCall,
    RuleContext,
    binary,
    unknown,
)

Forward = Callable[[Tensor], Any]
"""A network, or a function that calls it with other parameters and buffers."""


@dataclass(frozen=True)
class LayerCall:
    """What one call of a layer or norm did to patterns.

    Attributes:
        pattern: of its output, as it was computed.
        output: the pattern with which the forward pass went on, cut to 0 or 1.
        weight: pattern of its weights.
        axes: of the output, counted from the end, along which its units lie.
        positions: how often one row of inputs uses each weight; 0 for norms.
    """

    pattern: Tensor
    output: Tensor
    weight: Tensor
    axes: tuple[int, ...]
    positions: int


class PatternRun(RuleContext):
    """Runs a forward pass on patterns.

    Attributes:
        calls: what layers and norms did, in the order of their calls.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[LayerCall] = []
        self._nonzero: set[int] = set()

    def run(self, forward: Forward, row: Tensor) -> Tensor:
        """Run ``forward`` on the pattern of its inputs.

        Args:
            forward: the network.
            row: (1, *shape), ones.

        Returns:
            The sum of all outputs, (). Its gradient with respect to a pattern shows what is used.

        Raises:
            NotFollowed: no output derives from ``row`` by functions that can be followed.
        """
        inputs = self.follow(row.clone())  # a copy, since the network may change it in place
        with self:
            outputs = forward(inputs)
        self.check([*tensors_in(outputs)])
        sums = [tensor.sum() for tensor in tensors_in(outputs) if self.is_followed(tensor)]
        if not sums:
            raise NotFollowed("nothing that can be followed leads from its input to its outputs")
        return reduce(add, sums)

    def run_followed(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        name: str,
        in_place: bool,
    ) -> Any:
        """Run the rule of a function on patterns, in place of the function."""
        call = PatternCall(self, func, args, kwargs)
        patterns = call.followed
        rule = RULES.get(func) or RULES.get(name, unknown)
        with torch.enable_grad():  # the network may switch gradients off; patterns need theirs
            if in_place:
                # the rule of the plain form runs on a copy, whose result then overwrites the target
                target, *rest = args
                before = self.follow(target.clone()) if self.is_followed(target) else target.clone()
                call = PatternCall(self, getattr(Tensor, name, func), (before, *rest), kwargs)
                result = target.copy_(rule(call))
            else:
                result = rule(call)
        nonzero = rule in GATES or (
            rule in NONZERO_IF_ARGUMENTS_ARE and all(self.is_nonzero(pattern) for pattern in patterns)
        )
        for tensor in tensors_in(result):
            if tensor.is_floating_point():  # patterns are; integers are indices
                self.follow(tensor)
                (self._nonzero.add if nonzero else self._nonzero.discard)(id(tensor))
        return result

    def is_nonzero(self, pattern: Tensor) -> bool:
        """Whether no value that ``pattern`` stands for is zero: it is made from gates alone."""
        return id(pattern) in self._nonzero

    def factor(self, constant: Tensor) -> Tensor:
        """The pattern of a constant factor: 0 where it is zero."""
        return (constant != 0).to(torch.float32)

    def weight(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The pattern of a layer's weights: that of a factor."""
        return self.factor(weight)

    def record(self, pattern: Tensor, weight: Tensor, axes: tuple[int, ...], positions: int) -> Tensor:
        """Record the call of a layer or norm, and return the pattern with which the forward pass goes on."""
        output = binary(pattern)
        self.calls.append(LayerCall(pattern, output, weight, axes, positions))
        return output

    def note_unknown(self, function: str) -> None:
        """Note nothing: the run that found the layers has noted the functions that are in no table."""

    def operand(self, tensor: Tensor) -> Tensor:
        """What stands for an operand beside patterns: zeros where it is a constant."""
        if self.is_followed(tensor) or not tensor.is_floating_point():
            return tensor
        return torch.zeros_like(tensor, dtype=torch.float32)


class ProbedRun(PatternRun):
    """Adds probes to patterns: zeros whose gradients show what is used.

    Under `torch.func.vmap` the patterns inside are out of reach once the run has ended. Probes are made
    outside, so their gradients can be taken there.

    Args:
        outputs: probes of outputs, by the number of the call of a layer.
        weights: probes of weights, by the number of the call.
    """

    def __init__(self, outputs: Mapping[int, Tensor], weights: Mapping[int, Tensor]) -> None:
        super().__init__()
        self._outputs = outputs
        self._weights = weights

    def weight(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The pattern of a layer's weights, with its probe if it has one."""
        pattern = super().weight(weight, bias)
        call = len(self.calls)
        return pattern + self._weights[call] if call in self._weights else pattern

    def record(self, pattern: Tensor, weight: Tensor, axes: tuple[int, ...], positions: int) -> Tensor:
        """Record the call of a layer or norm, with the probe of its output if it has one."""
        if (call := len(self.calls)) in self._outputs:
            pattern = pattern + self._outputs[call]
        return super().record(pattern, weight, axes, positions)


class WeightRun(PatternRun):
    """Makes patterns of weights require gradients, which show which connections are used."""

    def weight(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The pattern of a layer's weights; it requires gradients."""
        return super().weight(weight, bias).requires_grad_()


class StructureRun(PatternRun):
    """Takes every constant as nonzero, so that all paths are live, and finds the layers and their names.

    Attributes:
        names: name of the layer of each call, as in ``calls``.
        parameters: weight and bias of each call.
        seen: identities of all tensors that any function was given.
        notes: the functions that are in no table, and where they were called.

    Args:
        net: the network that will run.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.names: list[str] = []
        self.parameters: list[tuple[Tensor, Tensor | None]] = []
        self.seen: set[int] = set()
        self.notes: list[str] = []
        self._net = net
        # the modules that are running, outermost first: their names, and the layers called in each
        self._modules: list[tuple[str, set[str]]] = [(layer_name(net, ""), set())]
        self._names: dict[tuple[str, int], str] = {}

    @contextmanager
    def watching_modules(self) -> Iterator[None]:
        """Keep track of which module is running, while the context is open."""

        def enter(name: str, *call: object) -> None:
            self._modules.append((layer_name(self._net, name), set()))

        def leave(name: str, *call: object) -> None:
            self._modules.pop()

        with module_hooks(self._net, enter, leave):
            yield

    def used_by_layers(self) -> list[bool]:
        """Whether the output of each call is used by another layer, so that its units are hidden."""
        # all that enters a layer: the gradient of a call's output is not zero if any layer uses it
        layers = [call.pattern.sum() for call in self.calls if call.positions]
        if not layers:
            return [False] * len(self.calls)
        outputs = [call.output for call in self.calls]
        gradients = path_gradients(reduce(add, layers), outputs)
        return [
            call.positions > 0 and bool((gradient > 0.5).any())
            for call, gradient in zip(self.calls, gradients, strict=True)
        ]

    def check(self, operands: list[Tensor]) -> None:
        """Check that no tensor was computed by functions that the rules did not see.

        Raises:
            NotFollowed: one was, as in an autograd function of the network's own.
        """
        for tensor in operands:
            self.seen.add(id(tensor))
            # only patterns require gradients here, and only rules make patterns
            made_by = tensor.grad_fn
            own_function = isinstance(made_by, BackwardCFunction) and not isinstance(
                made_by, Binary._backward_cls
            )
            if made_by is not None and (own_function or not self.is_followed(tensor)):
                raise NotFollowed(f"{made_by.name()} in {self._modules[-1][0]} cannot be looked into")

    def factor(self, constant: Tensor) -> Tensor:
        """The pattern of a constant factor: ones."""
        return torch.ones_like(constant, dtype=torch.float32)

    def weight(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The pattern of a layer's weights: ones. The parameters are kept."""
        self.parameters.append((weight, bias))
        return super().weight(weight, bias)

    def record(self, pattern: Tensor, weight: Tensor, axes: tuple[int, ...], positions: int) -> Tensor:
        """Record the call of a layer or norm under the name of its module.

        A module that calls further layers by functions has them numbered, as in ``"block[1]"``.
        """
        module, called = self._modules[-1]
        # by weight: a second call with the same weight is the same layer
        key = module, id(self.parameters[-1][0])
        name = self._names.setdefault(key, f"{module}[{len(called)}]" if called else module)
        called.add(name)
        self.names.append(name)
        return super().record(pattern, weight, axes, positions)

    def note_unknown(self, function: str) -> None:
        """Note that a function is in no table, and which module called it."""
        self.notes.append(f"not followed: {function} in {self._modules[-1][0]}")


def path_gradients(objective: Tensor, patterns: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of ``objective`` with respect to ``patterns``: above one half where they are used."""
    return torch.autograd.grad(objective.sum(), patterns, allow_unused=True, materialize_grads=True)
