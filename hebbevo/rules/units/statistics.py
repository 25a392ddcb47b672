"""Statistics of a layer's activity: sums over the rows of minibatches, all that a rule knows of activations.

A statistic adds one minibatch at a time to buffers with a number for each unit, in place. It is written for
any number of leading axes, so one network and a stack of networks share it. Running statistics are decayed
means: after minibatches 1 ... t the mean of a quantity q with the memory m is

    sum_i m^(t-i) q_i / sum_i m^(t-i)    (1)

Numerator and denominator are buffers: those of `DecayedMean` and that of `Count`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Buffer, Need

if TYPE_CHECKING:
    from torch import Tensor


class _CachedProperty:
    """A property of a minibatch that is computed when it is first read.

    `functools.cached_property` takes a lock in Python 3.11, which costs as much as a small operation on
    tensors.
    """

    def __init__(self, compute: Callable[[Minibatch], Tensor]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, batch: Minibatch, owner: type) -> Tensor:
        # an entry of the instance hides this descriptor from now on
        value = vars(batch)[self._name] = self._compute(batch)
        return value


class Minibatch:
    """The outputs of a layer for a minibatch.

    Attributes:
        y: (..., rows, n).
        size: their sizes, (..., rows, n): absolute values where outputs may be negative, else ``y`` itself.
    """

    def __init__(self, y: Tensor, size: Tensor) -> None:
        self.y = y
        self.size = size

    @_CachedProperty
    def mean(self) -> Tensor:
        """Mean output of each unit, (..., n)."""
        return self.y.mean(-2)

    @_CachedProperty
    def mean_size(self) -> Tensor:
        """Mean size of each unit's output, (..., n)."""
        return self.mean if self.size is self.y else self.size.mean(-2)

    @_CachedProperty
    def square(self) -> Tensor:
        """Mean square of each unit's output, (..., n)."""
        return self.y.square().mean(-2)

    @_CachedProperty
    def deviation(self) -> Tensor:
        """Outputs less the mean output of their unit, (..., rows, n)."""
        return self.y - self.mean.unsqueeze(-2)

    @_CachedProperty
    def fires(self) -> Tensor:
        """1 where a unit fires and 0 where it is silent, (..., rows, n)."""
        return self.size.sign()

    @_CachedProperty
    def firing_rate(self) -> Tensor:
        """The share of rows in which each unit fires, (..., n), 0 to 1."""
        return self.fires.mean(-2)


class OptionSelector(ABC):
    """Selects for each network the option that its knob chooses; options are in the order of choices."""

    @abstractmethod
    def select(self, *options: Callable[[], Tensor]) -> Tensor:
        """The value of the chosen option, for each network; ``options`` compute the values."""


class Statistic(ABC):
    """Sums that are gathered in every forward step in training mode.

    Attributes:
        buffers: the sums, by name.
    """

    buffers: ClassVar[Mapping[str, Buffer]]

    def constants(
        self, k: Any, s: Any, selector: Callable[[Tensor], OptionSelector]
    ) -> Mapping[str, Tensor | OptionSelector]:
        """What stays the same while no unit is pruned or regrown; it is computed once for many steps.

        Args:
            k: knobs as attributes, (..., 1) or (..., n) each.
            s: buffers as attributes, with ``alive``, (..., n) bool.
            selector: makes an `OptionSelector` of a knob with choices.
        """
        return {}

    @abstractmethod
    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        """Add a minibatch to the buffers, in place.

        Args:
            k: knobs as attributes, (..., 1) or (..., n) each.
            s: buffers as attributes, (..., n).
            c: the constants as attributes.
            batch: outputs of the layer.
        """


class DecayedMean(Statistic):
    """The decayed sum of a mean over minibatches: the numerator of equation 1."""

    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        """See `Statistic.add`."""
        [name] = self.buffers
        getattr(s, name).mul_(k.memory).add_(self.minibatch_mean(batch))

    @abstractmethod
    def minibatch_mean(self, batch: Minibatch) -> Tensor:
        """The mean over a minibatch, (..., n): q of equation 1."""


class Count(DecayedMean):
    """The decayed number of minibatches: the denominator of equation 1."""

    buffers: ClassVar = {"seen": Buffer()}

    def minibatch_mean(self, batch: Minibatch) -> Tensor:
        """One for each unit."""
        return batch.mean.new_ones(())


class Mean(DecayedMean):
    """The output."""

    buffers: ClassVar = {"sum_output": Buffer()}

    def minibatch_mean(self, batch: Minibatch) -> Tensor:
        """The mean output."""
        return batch.mean


class MeanSize(DecayedMean):
    """The size of the output."""

    buffers: ClassVar = {"sum_size": Buffer()}

    def minibatch_mean(self, batch: Minibatch) -> Tensor:
        """The mean size."""
        return batch.mean_size


class Variance(DecayedMean):
    """The variance of the output within a minibatch, without what the weights change from one to the next."""

    buffers: ClassVar = {"sum_variance": Buffer()}

    def minibatch_mean(self, batch: Minibatch) -> Tensor:
        """The mean squared deviation from the unit's mean."""
        return batch.deviation.square().mean(-2)


class Firing(DecayedMean):
    """Whether the output is not zero."""

    buffers: ClassVar = {"sum_firing": Buffer()}

    def minibatch_mean(self, batch: Minibatch) -> Tensor:
        """The share of rows in which a unit fires."""
        return batch.firing_rate


class Covariance(Statistic):
    """The covariance of each pair of units within a minibatch; see `Variance`."""

    buffers: ClassVar = {"sum_covariance": Buffer(pairs=True)}

    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        """Add the mean over the rows of d d^T, (..., n, n), d the deviations, decayed as in equation 1."""
        d, total = batch.deviation, s.sum_covariance.mul_(k.memory.unsqueeze(-1))
        rows, n = d.shape[-2:]
        d = d.reshape(-1, rows, n)
        total.view(-1, n, n).baddbmm_(d.mT, d, alpha=1 / rows)


class GateGradient(Statistic):
    """The squared gradient of the loss by a gate of one on each unit.

    Molchanov et al., 2019, arXiv:1906.10771, section 3.2: the first-order estimate of how much the loss
    changes if a unit is removed. It is known after the backward pass only, so the engine adds it by
    `add_gate`. Backward passes have a denominator of their own, since there may be fewer of them than
    forward steps.
    """

    buffers: ClassVar = {"sum_gate_gradient": Buffer(), "seen_gradients": Buffer()}

    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        """Nothing: there is no gradient yet."""

    def add_gate(self, k: Any, s: Any, gradient: Tensor) -> None:
        """Add the gradients of the gates for a minibatch, (..., n)."""
        s.sum_gate_gradient.mul_(k.memory).add_(gradient.square())
        s.seen_gradients.mul_(k.memory).add_(1)


class FoldedMean(Statistic):
    """The mean output that is folded into the next layer's bias when a unit is pruned.

    A running mean that starts at zero: m <- m + RATE (q - m), of which t steps have seen the share
    1 - (1 - RATE)^t. The engine divides by this share.
    """

    RATE = 0.1
    buffers: ClassVar = {"mean_output": Buffer()}

    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        """See `Statistic.add`."""
        s.mean_output.lerp_(batch.mean, self.RATE)


FOR_NEEDS: Mapping[Need, tuple[Statistic, ...]] = {
    Need.MEAN: (Count(), Mean()),
    Need.MEAN_SIZE: (Count(), MeanSize()),
    Need.VARIANCE: (Count(), Variance()),
    Need.FIRING_RATE: (Count(), Firing()),
    Need.CORRELATION: (Count(), Covariance()),
    Need.GATE_GRADIENT: (GateGradient(),),
    Need.FOLDABLE: (FoldedMean(),),
}
"""The statistics that the engine gathers for a need."""
