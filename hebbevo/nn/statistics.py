"""Gathering what unit rules ask for: statistics of a layer's outputs, of one network or of a whole stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from hebbevo.nn.plastic import Named
from hebbevo.rules.rule import Buffer
from hebbevo.rules.units.rule import UnitRule
from hebbevo.rules.units.statistics import FOR_NEEDS, Choice, Minibatch, Statistic


def gathered(rule: UnitRule, wanted: Callable[[str, object], bool]) -> tuple[Statistic, ...]:
    """The statistics that a rule needs, each once.

    Args:
        rule: what asks.
        wanted: tells of a knob and a value whether any network has it (``None``: one that is not zero).
    """
    found = list(rule.statistics)
    for need, askers in rule.all_needs().items():
        if not askers or any(wanted(each.knob, each.value) for each in askers):
            found += [each for each in FOR_NEEDS.get(need, ()) if type(each) not in map(type, found)]
    return tuple(found)


def buffers(rule: UnitRule) -> Mapping[str, Buffer]:
    """All buffers with a number for each unit, or each pair of units, that networks under a rule have."""
    return {
        **rule.buffers,
        **{name: each for one in gathered(rule, lambda *_: True) for name, each in one.buffers.items()},
    }


class Window:
    """The statistics of a layer in a stretch of steps in which no unit is pruned or returns.

    What does not change meanwhile is computed once.

    Args:
        statistics: to be gathered.
        k: knobs, (..., 1) or (..., n).
        s: buffers, (..., n), changed in place.
        choice: how a knob with choices is looked at.
    """

    def __init__(
        self, statistics: Sequence[Statistic], k: Any, s: Any, choice: Callable[[Tensor], Choice]
    ) -> None:
        self._k, self._s, self._choice = k, s, choice
        self._statistics = [(each, SimpleNamespace(**each.constants(k, s, choice))) for each in statistics]

    def renew(self) -> None:
        """Begin the next stretch, in the same memory, after units may have been pruned or have returned."""
        for statistic, kept in self._statistics:
            for name, value in statistic.constants(self._k, self._s, lambda _: _UNCHANGED).items():
                if isinstance(value, Tensor):
                    getattr(kept, name).copy_(value)

    def add(self, batch: Minibatch) -> None:
        """Add a minibatch."""
        for statistic, constants in self._statistics:
            statistic.add(self._k, self._s, constants, batch)


class _Unchanged(Choice):
    """Stands for a choice that is not looked at again."""

    def of(self, *options: Callable[[], Tensor]) -> Tensor:
        raise AssertionError


_UNCHANGED = _Unchanged()


class AnyChoice(Choice):
    """Choices, (..., 1), that are not looked at: everything is computed."""

    def __init__(self, chosen: Tensor) -> None:
        self._chosen = chosen

    def of(self, *options: Callable[[], Tensor]) -> Tensor:
        """See `Choice.of`."""
        first, *others = (option() for option in options)
        for number, other in enumerate(others, start=1):
            first = torch.where(self._chosen == number, other, first)
        return first


class KnownChoice(Choice):
    """Choices, (networks, 1), that are looked at once: only what any network has chosen is computed."""

    def __init__(self, chosen: Tensor) -> None:
        self._first, *others = sorted({*chosen.flatten().tolist()})
        self._others = [(other, chosen == other) for other in others]

    def of(self, *options: Callable[[], Tensor]) -> Tensor:
        """See `Choice.of`."""
        value: Tensor = options[self._first]()
        for other, networks in self._others:
            value = torch.where(networks, options[other](), value)
        return value


def observe(rule: UnitRule, rows: Tensor, size: Tensor, tensors: Mapping[str, Tensor]) -> None:
    """Count a minibatch of outputs, (..., rows, n), of networks that are not looked at, in place.

    Args:
        rule: of the layer.
        rows: outputs.
        size: how large they are, likewise.
        tensors: knobs and buffers of the layer.
    """
    whole = [name for name, knob in rule.knobs.items() if knob.per_unit]
    window = Window(gathered(rule, lambda *_: True), Named(tensors, 1, whole), Named(tensors), AnyChoice)
    window.add(Minibatch(rows, size))
    tensors["age"].add_(1)
    tensors["steps"].add_(1)


class Observation(torch.autograd.Function):
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
        """Nothing to keep."""

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
        """The same with a first axis of networks."""
        assert set(in_dims[2:]) == {0}, "networks are stacked along the first axis, every tensor of theirs"
        observe(rule, rows, size, dict(zip(names, tensors, strict=True)))
        return rows.new_empty(len(rows), 0), 0
