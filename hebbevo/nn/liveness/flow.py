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
from functools import partial, reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

from hebbevo.nn.forward_pass.following import NotFollowed, layer_name, module_hooks, tensors_in
from hebbevo.nn.liveness.patterns import (
    RULES,
    Binary,
    PatternCall,
    Rule,
    RuleContext,
    assigned,
    binary,
    identity,
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
    """Runs a forward pass on patterns, and on values beside them.

    Attributes:
        calls: what layers and norms did, in the order of their calls.
        needs_values: whether any rule has asked for values.

    Args:
        with_values: whether to run on values. It costs as much as the forward pass itself.
    """

    def __init__(self, *, with_values: bool = True) -> None:
        super().__init__()
        self.calls: list[LayerCall] = []
        self.needs_values = False
        self._with_values = with_values
        # by identity of the pattern; views of patterns have views of values
        self._values: dict[int, Tensor] = {}

    def run(self, forward: Forward, row: Tensor, example: Tensor) -> Tensor:
        """Run ``forward`` on the pattern of its inputs.

        Args:
            forward: the network.
            row: (1, *shape), ones.
            example: (1, *shape), values that the network takes.

        Returns:
            The sum of all outputs, (). Its gradient with respect to a pattern shows what is used.

        Raises:
            NotFollowed: no output derives from ``row`` by functions that can be followed.
        """
        inputs = self.follow(row.clone())  # a copy, since the network may change it in place
        # of the row, since a network in a stack has a row of its own
        self._set_value(inputs, torch.zeros_like(row.detach(), dtype=example.dtype) + example)
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
        rule = RULES.get(func) or RULES.get(name, unknown)
        target = args[0] if (in_place or rule is assigned) and args else None
        before = target
        if target is not None:
            # a rule works on what was there before, and a constant becomes a value of its own
            before = target.clone()
            if self.is_followed(target):
                self.follow(before)
                if self._with_values:
                    self._set_value(before, self._values[id(target)].clone())
            else:
                self._set_value(target, target.detach().clone())
        values = self._run_on_values(func, args, kwargs, rule, target)
        with torch.enable_grad():  # the network may switch gradients off; patterns need theirs
            if in_place and rule is not assigned:
                # the rule of the plain form runs on a copy, whose result then overwrites the target
                call = PatternCall(self, getattr(Tensor, name, func), (before, *args[1:]), kwargs)
                result = args[0].copy_(rule(call))
            else:
                result = rule(PatternCall(self, func, args, kwargs, values))
        found = [*tensors_in(result)]
        known = [*tensors_in(values)]
        for place, tensor in enumerate(found):
            value = known[place] if len(known) == len(found) else None
            if rule is unknown or tensor.is_floating_point():
                self.follow(tensor)
                # an argument that is returned has its value
                if not any(tensor is each for each in args):
                    self._set_value(tensor, value)
        return result

    def _run_on_values(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        rule: Rule,
        target: Tensor | None,
    ) -> Any:
        """What a function gives on values, or does to that of its target.

        It is ``None`` where the function does not run on values. Then they are not known.
        """
        if not self._with_values:
            return None
        if rule is identity:  # no dropout
            tensor = args[0] if args else next(tensors_in(kwargs))
            return self._values.get(id(tensor), tensor).clone()

        # norms may write to their running statistics
        is_norm = isinstance(rule, partial)

        def value(tensor: Tensor) -> Tensor:
            value = self._values.get(id(tensor), tensor)
            return value.detach().clone() if is_norm and value is tensor else value

        given = {name: each for name, each in kwargs.items() if name != "out"}
        try:
            with torch.no_grad():
                return PatternCall(self, func, args, given).run(value)
        except Exception:  # such as a batch norm of one row
            if target is not None:
                self._set_value(target, None)
            return None

    def _set_value(self, tensor: Tensor, value: Tensor | None) -> None:
        if not self._with_values:
            return
        if value is None or value.shape != tensor.shape:  # NaN is not zero, and so are all its results
            value = torch.full_like(tensor.detach(), torch.nan, dtype=torch.float32)
        self._values[id(tensor)] = value

    def value(self, tensor: Tensor) -> Tensor:
        """The value that a pattern stands for; it is exact where no path leads to."""
        self.needs_values |= self.is_followed(tensor)
        return self._values.get(id(tensor), tensor)

    def may_be(self, tensor: Tensor, is_so: Callable[[Tensor], Tensor]) -> Tensor:
        """Where a path leads to ``tensor`` or ``is_so`` holds of its constant value."""
        constant = is_so(self.value(tensor).detach())
        if self.is_followed(tensor):
            constant = (tensor.detach() > 0.5) | constant
        return constant.to(torch.float32)

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
        with_values: see `PatternRun`.
    """

    def __init__(
        self, outputs: Mapping[int, Tensor], weights: Mapping[int, Tensor], *, with_values: bool = True
    ) -> None:
        super().__init__(with_values=with_values)
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

    def may_be(self, tensor: Tensor, is_so: Callable[[Tensor], Tensor]) -> Tensor:
        """Ones: what is not known may be anything."""
        self.needs_values |= self.is_followed(tensor)
        return torch.ones_like(tensor, dtype=torch.float32)

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
        self.needs_values = True
        self.notes.append(f"not followed: {function} in {self._modules[-1][0]}")


def path_gradients(objective: Tensor, patterns: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of ``objective`` with respect to ``patterns``: above one half where they are used."""
    return torch.autograd.grad(objective.sum(), patterns, allow_unused=True, materialize_grads=True)
