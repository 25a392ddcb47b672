"""Sums over the rows of minibatches: all that a rule knows of activations.

A statistic adds one minibatch at a time to buffers with a number for each unit, in place. It is written for
any number of leading axes, so one network and a stack of networks share it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Buffer, Need

if TYPE_CHECKING:
    from torch import Tensor


class _Once:
    """A property of a minibatch that is computed when it is first asked for.

    `functools.cached_property` takes a lock in Python 3.11, which costs as much as a small operation.
    """

    def __init__(self, compute: Callable[[Minibatch], Tensor]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, batch: Minibatch, owner: type) -> Tensor:
        value = vars(batch)[self._name] = self._compute(batch)
        return value


class Minibatch:
    """The outputs of a layer for a minibatch.

    Attributes:
        y: (..., rows, n).
        size: how large they are, (..., rows, n): absolute values where outputs may be negative.
    """

    def __init__(self, y: Tensor, size: Tensor) -> None:
        self.y = y
        self.size = size

    @_Once
    def mean(self) -> Tensor:
        """Mean output of each unit, (..., n)."""
        return self.y.mean(-2)

    @_Once
    def mean_size(self) -> Tensor:
        """Mean size of each unit's output, (..., n)."""
        return self.mean if self.size is self.y else self.size.mean(-2)

    @_Once
    def square(self) -> Tensor:
        """Mean square of each unit's output, (..., n)."""
        return self.y.square().mean(-2)

    @_Once
    def fires(self) -> Tensor:
        """1 where a unit fires, (..., rows, n)."""
        return self.size.sign()

    @_Once
    def firing_rate(self) -> Tensor:
        """The share of rows in which each unit fires, (..., n)."""
        return self.fires.mean(-2)


class Choice(ABC):
    """What networks have chosen among some options, in the order of the knob's choices."""

    @abstractmethod
    def of(self, *options: Callable[[], Tensor]) -> Tensor:
        """The value of what each network has chosen."""


class Statistic(ABC):
    """Sums that are gathered in every forward step in training mode."""

    buffers: ClassVar[Mapping[str, Buffer]]

    def constants(self, k: Any, s: Any, choice: Callable[[Tensor], Choice]) -> Mapping[str, Tensor | Choice]:
        """What does not change while no unit is pruned or returns; it is computed once for many steps.

        Args:
            k: knobs as attributes, (..., 1) or (..., n) each.
            s: buffers as attributes, with ``alive``, (..., n) bool.
            choice: makes a `Choice` of a knob with choices.
        """
        return {}

    @abstractmethod
    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        """Add a minibatch to the buffers, in place; ``c`` are the constants, as attributes."""


class _Running(Statistic):
    """A decayed sum of means over minibatches; `Count` is the sum of its weights."""

    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        [name] = self.buffers
        getattr(s, name).mul_(k.memory).add_(self.of(batch))

    @abstractmethod
    def of(self, batch: Minibatch) -> Tensor:
        """The mean over a minibatch."""


class Count(_Running):
    """Minibatches seen, decayed like the sums that are divided by it."""

    buffers: ClassVar = {"seen": Buffer()}

    def of(self, batch: Minibatch) -> Tensor:
        """One for each unit."""
        return batch.mean.new_ones(())


class Mean(_Running):
    """Output."""

    buffers: ClassVar = {"sum_output": Buffer()}

    def of(self, batch: Minibatch) -> Tensor:
        """Mean output."""
        return batch.mean


class Square(_Running):
    """Squared output."""

    buffers: ClassVar = {"sum_square": Buffer()}

    def of(self, batch: Minibatch) -> Tensor:
        """Mean square."""
        return batch.square


class Firing(_Running):
    """Whether the output is not zero."""

    buffers: ClassVar = {"sum_firing": Buffer()}

    def of(self, batch: Minibatch) -> Tensor:
        """Share of rows in which it fires."""
        return batch.firing_rate


class Products(Statistic):
    """Products of the outputs of each pair of units."""

    buffers: ClassVar = {"sum_products": Buffer(pairs=True)}

    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        """Add the mean over the rows of y yᵀ."""
        s.sum_products.mul_(k.memory.unsqueeze(-1)).add_(batch.y.mT @ batch.y / batch.y.shape[-2])


class FoldedMean(Statistic):
    """The mean output that is folded into the next layer's bias when a unit is pruned."""

    RATE = 0.1
    buffers: ClassVar = {"mean_output": Buffer()}

    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        """Move a running mean, which starts at zero."""
        s.mean_output.lerp_(batch.mean, self.RATE)


FOR_NEEDS: Mapping[Need, tuple[Statistic, ...]] = {
    Need.MEAN: (Count(), Mean()),
    Need.VARIANCE: (Count(), Mean(), Square()),
    Need.FIRING_RATE: (Count(), Firing()),
    Need.CORRELATION: (Count(), Mean(), Products()),
    Need.FOLDABLE: (FoldedMean(),),
}
"""The statistics that an engine gathers for a need."""
