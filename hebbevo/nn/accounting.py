"""Stamina of a whole stack: what neurons gain and pay in a minibatch, in as few operations as can be.

Says the same as `hebbevo.nn.stamina` does for one net.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

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
        self._activity = _Choice(units.activity)
        self._form = _Choice(units.penalty_form)
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
        units, living = self._units, self._living
        fires = size.sign()
        firing = fires.sum(-1)
        mean = y.mean(-2)

        def spread() -> Tensor:
            return (y.square().mean(-2) - mean.square()).clamp(min=0).sqrt() * units.outgoing

        by_sample = self._activity.of(
            lambda: size.sum(-1) / living,
            lambda: firing / living,
            lambda: (spread().sum(-1, keepdim=True) / living).expand_as(firing),
        )
        level = self._form.of(
            lambda: by_sample,
            lambda: by_sample * (living - firing) / firing.clamp(min=1),
            lambda: by_sample * living / (living - firing).clamp(min=1),
            lambda: torch.ones_like(by_sample),
        )
        used = (level.unsqueeze(-2) @ fires).squeeze(-2) / y.shape[-2]
        by_neuron = self._activity.of(
            lambda: mean if size is y else size.mean(-2), lambda: fires.mean(-2), spread
        )
        unused = level.mean(-1, keepdim=True) - used
        units.gain.mul_(self._decay).addcmul_(self._gains, by_neuron).addcmul_(self._pays, unused)
        units.reference.mul_(self._decay).addcmul_(self.alive, by_sample.mean(-1, keepdim=True))
        units.mean_output.lerp_(mean, MEAN_OUTPUT_RATE)


class _Choice:
    """What the nets have chosen, of which only what is chosen is computed."""

    def __init__(self, chosen: Tensor) -> None:
        self._first, *others = sorted({*chosen.tolist()})
        self._others = [(other, (chosen == other).unsqueeze(-1)) for other in others]

    def of(self, *options: Callable[[], Tensor]) -> Tensor:
        value: Tensor = options[self._first]()
        for other, nets in self._others:
            value = torch.where(nets, options[other](), value)
        return value
