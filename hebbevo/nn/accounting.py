"""What neurons gain and pay in a minibatch by the stamina rule, of one net or of a whole stack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from hebbevo.nn.stamina import _StaminaUnits

MEAN_OUTPUT_RATE = 0.1


class Stretch:
    """A stretch of steps in which nobody dies or returns, for units that have a first axis of nets.

    Everything that does not change meanwhile is computed once, and nothing that no net here asks for.

    Attributes:
        alive: (nets, neurons), 1 or 0.
    """

    def __init__(self, units: _StaminaUnits) -> None:
        self._units = units
        self._decay = units.stamina_decay.unsqueeze(-1)
        self._activity = KnownChoice(units.activity)
        self._form = KnownChoice(units.penalty_form)
        self.alive, self._living, self._gains, self._pays = self._constants()

    def renew(self) -> None:
        """Begin the next stretch, when somebody may have died or returned."""
        kept = self.alive, self._living, self._gains, self._pays
        for constant, value in zip(kept, self._constants(), strict=True):
            constant.copy_(value)

    def _constants(self) -> tuple[Tensor, ...]:
        units = self._units
        alive = units.alive.to(units.gain.dtype)
        living = alive.sum(-1, keepdim=True).clamp(min=1)
        prior, penalty = units.firing_prior, units.unactivation_penalty.unsqueeze(-1)
        return alive, living, 2 * (1 - prior) * alive, -2 * prior * penalty * alive

    def add(self, y: Tensor, size: Tensor) -> None:
        """Count a minibatch of outputs and their sizes, (nets, rows, neurons)."""
        units = self._units
        use = used(y, size, self._living, units.outgoing, self._activity, self._form)
        units.gain.mul_(self._decay)
        units.gain.addcmul_(self._gains, use.by_neuron).addcmul_(self._pays, use.unpaid)
        units.reference.mul_(self._decay).addcmul_(self.alive, use.mean)
        units.mean_output.lerp_(use.output, MEAN_OUTPUT_RATE)


class Use(NamedTuple):
    """How much the neurons of a layer were used in a minibatch.

    Attributes:
        by_neuron: (..., neurons) mean activity of each.
        unpaid: (..., neurons) mean penalty level, zero in the samples in which it fired.
        mean: (..., 1) mean activity of a living neuron.
        output: (..., neurons) mean output.
    """

    by_neuron: Tensor
    unpaid: Tensor
    mean: Tensor
    output: Tensor


def used(
    y: Tensor, size: Tensor, living: Tensor, outgoing: Tensor, activity: Choice, penalty_form: Choice
) -> Use:
    """See how outputs of such sizes, (..., rows, neurons), use neurons of whom so many live, (..., 1)."""
    fires = size.sign()
    firing = fires.sum(-1)
    mean = y.mean(-2)

    @cache
    def spread() -> Tensor:
        return (y.square().mean(-2) - mean.square()).clamp(min=0).sqrt() * outgoing

    by_sample = activity.of(
        lambda: size.sum(-1) / living,
        lambda: firing / living,
        lambda: (spread().sum(-1, keepdim=True) / living).expand_as(firing),
    )
    level = penalty_form.of(
        lambda: by_sample,
        lambda: by_sample * (living - firing) / firing.clamp(min=1),
        lambda: by_sample * living / (living - firing).clamp(min=1),
        lambda: torch.ones_like(by_sample),
    )
    by_neuron = activity.of(lambda: mean if size is y else size.mean(-2), lambda: fires.mean(-2), spread)
    spared = (level.unsqueeze(-2) @ fires).squeeze(-2) / y.shape[-2]
    return Use(by_neuron, level.mean(-1, keepdim=True) - spared, by_sample.mean(-1, keepdim=True), mean)


class Choice(ABC):
    """What nets have chosen among some options."""

    @abstractmethod
    def of(self, *options: Callable[[], Tensor]) -> Tensor:
        """The value of what each net has chosen."""


class AnyChoice(Choice):
    """A choice, (...), that nobody has looked at: everything is computed."""

    def __init__(self, chosen: Tensor) -> None:
        self._chosen = chosen.unsqueeze(-1)

    def of(self, *options: Callable[[], Tensor]) -> Tensor:
        """See `Choice.of`."""
        first, *others = (option() for option in options)
        for number, other in enumerate(others, start=1):
            first = torch.where(self._chosen == number, other, first)
        return first


class KnownChoice(Choice):
    """A choice, (nets,), that is looked at once: only what somebody has chosen is computed."""

    def __init__(self, chosen: Tensor) -> None:
        self._first, *others = sorted({*chosen.tolist()})
        self._others = [(other, (chosen == other).unsqueeze(-1)) for other in others]

    def of(self, *options: Callable[[], Tensor]) -> Tensor:
        """See `Choice.of`."""
        value: Tensor = options[self._first]()
        for other, nets in self._others:
            value = torch.where(nets, options[other](), value)
        return value
