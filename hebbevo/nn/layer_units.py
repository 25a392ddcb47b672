"""A layer of units as the engine and the rules see it, of one network or of many."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property

import torch
from torch import Tensor

from hebbevo.nn import stateless_random
from hebbevo.nn.layer_context import LayerContext, Tensors, UnitSelection, connected_weight
from hebbevo.nn.plastic import TensorNamespace
from hebbevo.rules.units.rule import OLD, REBIRTHS, UnitRule

SCORE_STREAM, REGROWTH_STREAM, WEIGHT_STREAM = 0, 1, 2  # further producers have the streams after it


class EventPart(Enum):
    """A part of an event that is left out where no network of the stack asks for it by its knobs."""

    REGROWTH = auto()
    FOLDING = auto()
    TARGETS = auto()
    OUTGOING_NORMS = auto()


@dataclass(frozen=True)
class LayerUnits:
    """A layer of n units, of one network or of many, with all tensors that change at an event.

    It is the `hebbevo.rules.units.rule.UnitLayer` that rules see.

    Attributes:
        rule: its score and its schedule.
        tensors: knobs, (...), and buffers, (..., n), by name; changed in place.
        context: the layers around the units.
        size: units of the layer; more than n where some have no slot.
        numbers: which unit each slot holds, (..., n) int64; ``None``: all units in their order.
        inputs: whether they are input units.
        may_sync: whether values may be read from the device, so that only what changes is written.
        skipped: parts of an event that no network here asks for.
    """

    rule: UnitRule
    tensors: Tensors
    context: LayerContext
    size: int
    numbers: Tensor | None = None
    inputs: bool = False
    may_sync: bool = False
    skipped: Collection[EventPart] = ()

    @cached_property
    def k(self) -> TensorNamespace:
        """Knobs, (..., 1) or (..., n)."""
        per_unit = [name for name, knob in self.rule.knobs.items() if knob.per_unit]
        return TensorNamespace(self.tensors, 1, per_unit)

    @cached_property
    def s(self) -> TensorNamespace:
        """Buffers, (..., n)."""
        return TensorNamespace(self.tensors)

    @property
    def alive(self) -> Tensor:
        """Which units live, (..., n) bool."""
        return self.tensors["alive"]

    @property
    def mean(self) -> Tensor:
        """Running mean of each unit's output, (..., n)."""
        return self._running("sum_output")

    @property
    def variance(self) -> Tensor:
        """Running variance of each unit's output, (..., n)."""
        return (self._running("sum_square") - self.mean.square()).clamp(min=0)

    @property
    def firing_rate(self) -> Tensor:
        """Running share of rows in which each unit fires, (..., n)."""
        return self._running("sum_firing")

    @property
    def correlation(self) -> Tensor:
        """Running correlation of each pair of units, (..., n, n)."""
        seen = self.tensors["seen"]
        # of a pair, what was gathered since the later one was regrown
        both = torch.minimum(seen.unsqueeze(-1), seen.unsqueeze(-2)).clamp(min=1e-12)
        mean = self.mean
        covariance = self.tensors["sum_products"] / both - mean.unsqueeze(-1) * mean.unsqueeze(-2)
        spread = covariance.diagonal(dim1=-2, dim2=-1).clamp(min=1e-12).sqrt()
        return covariance / (spread.unsqueeze(-1) * spread.unsqueeze(-2))

    @property
    def outgoing(self) -> Tensor:
        """Norm of the weights that read each unit, (..., n); 1 where no layer reads them."""
        return self._joint_norm([consumer.norm(self.alive) for consumer in self.context.consumers])

    @property
    def incoming(self) -> Tensor:
        """Norm of the weights that feed each unit, (..., n); 1 where no layer feeds them."""
        weights = [connected_weight(each.weight, each.mask) for each in self.context.producers]
        lead = self.alive.dim()
        return self._joint_norm([torch.linalg.vector_norm(each.flatten(lead), dim=-1) for each in weights])

    @property
    def loss(self) -> Tensor | None:
        """Running mean of the training loss, (..., 1), or ``None``."""
        return None if self.context.loss is None else self.context.loss.unsqueeze(-1)

    @property
    def step(self) -> Tensor:
        """Forward steps so far, (..., 1)."""
        return self.tensors["steps"].unsqueeze(-1)

    @property
    def total(self) -> Tensor:
        """Forward steps of the whole training, (..., 1)."""
        return self.tensors["total_steps"].unsqueeze(-1)

    @property
    def keeps_weights(self) -> Tensor:
        """Whether a regrown unit has its old weights, (..., 1) bool."""
        kept: Tensor = self.k.rebirth == REBIRTHS.index(OLD)
        return kept

    def draw(self, stream: int = SCORE_STREAM) -> Tensor:
        """Uniform numbers in (0, 1), (..., n): a function of seed, step and unit alone."""
        return self._draw(stream, self.numbers)

    def draw_all(self, stream: int) -> Tensor:
        """The same numbers for all units, (..., size), also for those without a slot."""
        return self._draw(stream, None)

    def ranked(self, score: Tensor) -> Tensor:
        """The rank of each unit by its score, (..., n), from 0; of equal scores the unit of the lower number.

        Slots need not be in the order of the units that they hold, and must not decide.
        """
        if self.numbers is None:
            return score.argsort(stable=True).argsort()
        by_number = self.numbers.argsort()
        rank = score.gather(-1, by_number).argsort(stable=True).argsort()
        return torch.empty_like(rank).scatter_(-1, by_number, rank)

    def selection(self, units: Tensor) -> UnitSelection:
        """Units, (..., n) bool, to be written to."""
        return UnitSelection(units, self.may_sync)

    def _draw(self, stream: int, numbers: Tensor | None) -> Tensor:
        seed, step = self.tensors["seed"], self.tensors["steps"]
        if numbers is None:
            numbers = torch.arange(self.size, device=seed.device)
        return stateless_random.uniform_at(seed.unsqueeze(-1), step.unsqueeze(-1), numbers, stream)

    def _running(self, total: str) -> Tensor:
        """A decayed mean: the quotient of equation 1 of `hebbevo.rules.units.statistics`."""
        return self.tensors[total] / self.tensors["seen"].clamp(min=1e-12)

    def _joint_norm(self, norms: Sequence[Tensor]) -> Tensor:
        """The norm of the weights of all layers together, from the norms for each layer."""
        if not norms:
            return torch.ones_like(self.tensors["age"], dtype=torch.float32)
        joint: Tensor = (
            norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(list(norms)), dim=0)
        )
        return joint
