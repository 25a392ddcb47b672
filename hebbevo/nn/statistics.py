"""Gathering the statistics that unit rules need, of the layers of one network or of a whole stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from hebbevo.nn.plastic import TensorNamespace
from hebbevo.rules.rule import Buffer
from hebbevo.rules.units.rule import UnitRule
from hebbevo.rules.units.statistics import (
    FOR_NEEDS,
    GateGradient,
    Minibatch,
    OptionSelector,
    Statistic,
)


def statistics_for(rule: UnitRule, is_wanted: Callable[[str, object], bool]) -> tuple[Statistic, ...]:
    """The statistics that a rule needs, each once.

    Args:
        rule: the rule that needs them.
        is_wanted: whether any network has a knob, given by name, at a value; ``None`` stands for every value
            but zero.
    """
    found = list(rule.statistics)
    for need, settings in rule.all_needs().items():
        if not settings or any(is_wanted(each.knob, each.value) for each in settings):
            found += [each for each in FOR_NEEDS.get(need, ()) if type(each) not in map(type, found)]
    return tuple(found)


def unit_buffers(rule: UnitRule) -> Mapping[str, Buffer]:
    """The buffers, by name, of a rule and of the statistics that it needs."""
    return {
        **rule.buffers,
        **{name: each for one in statistics_for(rule, lambda *_: True) for name, each in one.buffers.items()},
    }


class StatisticsWindow:
    """The statistics of a layer in a window of steps in which no unit is pruned or regrown.

    What stays the same within a window is computed once.

    Args:
        statistics: to be gathered.
        k: knobs, (..., 1) or (..., n).
        s: buffers, (..., n), changed in place.
        selector: makes a selector of a knob with choices, (..., 1).
    """

    def __init__(
        self, statistics: Sequence[Statistic], k: Any, s: Any, selector: Callable[[Tensor], OptionSelector]
    ) -> None:
        self._k, self._s = k, s
        self._statistics = [(each, SimpleNamespace(**each.constants(k, s, selector))) for each in statistics]

    def renew(self) -> None:
        """Begin the next window, after units may have been pruned or regrown, in the same memory."""
        for statistic, constants in self._statistics:
            for name, value in statistic.constants(self._k, self._s, lambda _: _UNCHANGED).items():
                if isinstance(value, Tensor):
                    getattr(constants, name).copy_(value)

    def add(self, batch: Minibatch) -> None:
        """Add a minibatch to all statistics."""
        for statistic, constants in self._statistics:
            statistic.add(self._k, self._s, constants, batch)


class _UnchangedSelector(OptionSelector):
    """Stands for the selector of a window that is renewed: choices of knobs do not change in a training."""

    def select(self, *options: Callable[[], Tensor]) -> Tensor:
        raise AssertionError


_UNCHANGED = _UnchangedSelector()


class FullSelector(OptionSelector):
    """Computes every option, without reading the choices, (..., 1), from the device."""

    def __init__(self, chosen: Tensor) -> None:
        self._chosen = chosen

    def select(self, *options: Callable[[], Tensor]) -> Tensor:
        """See `OptionSelector.select`."""
        selected, *others = (option() for option in options)
        for number, other in enumerate(others, start=1):
            selected = torch.where(self._chosen == number, other, selected)
        return selected


class LazySelector(OptionSelector):
    """Computes only options that some network has chosen; reads choices, (networks, 1), from the device."""

    def __init__(self, chosen: Tensor) -> None:
        self._first, *others = sorted({*chosen.flatten().tolist()})
        self._others = [(other, chosen == other) for other in others]

    def select(self, *options: Callable[[], Tensor]) -> Tensor:
        """See `OptionSelector.select`."""
        selected: Tensor = options[self._first]()
        for other, networks in self._others:
            selected = torch.where(networks, options[other](), selected)
        return selected


def observe(rule: UnitRule, rows: Tensor, size: Tensor, tensors: Mapping[str, Tensor]) -> None:
    """Count a minibatch of outputs in place, without reading values from the device.

    Args:
        rule: of the layer.
        rows: outputs, (..., rows, n).
        size: their sizes, (..., rows, n).
        tensors: knobs, (...), and buffers, (..., n), of the layer by name.
    """
    per_unit = [name for name, knob in rule.knobs.items() if knob.per_unit]
    k, s = TensorNamespace(tensors, 1, per_unit), TensorNamespace(tensors)
    window = StatisticsWindow(statistics_for(rule, lambda *_: True), k, s, FullSelector)
    window.add(Minibatch(rows, size))
    tensors["age"].add_(1)
    tensors["steps"].add_(1)


def observe_gates(gradient: Tensor, tensors: Mapping[str, Tensor]) -> None:
    """Count the gradients by a gate on each unit for a minibatch, (..., n), in place.

    Args:
        gradient: see above.
        tensors: knobs, (...), and buffers, (..., n), of the layer by name.
    """
    GateGradient().add_gate(TensorNamespace(tensors, 1), TensorNamespace(tensors), gradient)


class StackedObservation(torch.autograd.Function):
    """`observe` for a whole stack at once, inside `torch.func.vmap`: fewer and larger operations."""

    @staticmethod
    def forward(
        rule: UnitRule, names: tuple[str, ...], rows: Tensor, size: Tensor, *tensors: Tensor
    ) -> Tensor:
        """Observe, in place."""
        observe(rule, rows, size, dict(zip(names, tensors, strict=True)))
        return rows.new_empty(0)

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: object, output: object) -> None:
        """Save nothing: there is no backward pass."""

    @staticmethod
    def vmap(
        info: object,
        in_dims: tuple[int | None, ...],
        rule: UnitRule,
        names: tuple[str, ...],
        rows: Tensor,
        size: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, int]:
        """Observe in place, every tensor with a first axis of networks."""
        assert set(in_dims[2:]) == {0}, "networks are stacked along the first axis, every tensor of theirs"
        observe(rule, rows, size, dict(zip(names, tensors, strict=True)))
        return rows.new_empty(len(rows), 0), 0
