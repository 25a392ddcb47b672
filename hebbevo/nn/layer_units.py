"""A layer of units as the engine and the rules see it, of one network or of many."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property

import torch
from torch import Tensor

from hebbevo.nn import stateless_random
from hebbevo.nn.elimination import eliminated
from hebbevo.nn.layer_context import LayerContext, Tensors, UnitSelection, connected_weight
from hebbevo.nn.plastic import TensorNamespace
from hebbevo.rules.units.rule import OLD, REBIRTHS, UnitRule

SCORE_STREAM, REGROWTH_STREAM, WEIGHT_STREAM = 0, 1, 2  # further producers have the streams after it
GATE_STREAM, NOISE_STREAM = -1, -2  # further tensors with noise have the streams before it
FEEDBACK_STREAM, REWARD_STREAM = -1, -2  # of a layer, whose seed is not that of units


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
        tensors: knobs, (...), and buffers and parameters, (..., n), by name; changed in place.
        context: the layers around the units.
        size: units of the layer; more than n where some have no slot.
        numbers: which unit each slot holds, (..., n) int64; ``None``: all units in their order.
        inputs: whether they are input units.
        may_sync: whether values may be read from the device, so that only what changes is written.
        skipped: parts of an event that no network here asks for.
        moments: optimiser state of the rule's parameters, by their names, each of (..., n).
        due: which networks have an event, (...) bool; ``None``: all.
        most: no network prunes more units at this event; ``None``: not known.
    """

    rule: UnitRule
    tensors: Tensors
    context: LayerContext
    size: int
    numbers: Tensor | None = None
    inputs: bool = False
    may_sync: bool = False
    skipped: Collection[EventPart] = ()
    moments: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
    due: Tensor | None = None
    most: int | None = None

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
    def mean_size(self) -> Tensor:
        """Running mean of the size of each unit's output, (..., n)."""
        return self._running("sum_size")

    @property
    def variance(self) -> Tensor:
        """Running variance of each unit's output within a minibatch, (..., n)."""
        if "sum_variance" in self.tensors:
            return self._running("sum_variance")
        return self.tensors["sum_covariance"].diagonal(dim1=-2, dim2=-1) / self.tensors["seen"].clamp(min=1)

    @property
    def firing_rate(self) -> Tensor:
        """Running share of rows in which each unit fires, (..., n)."""
        return self._running("sum_firing")

    @property
    def covariance(self) -> Tensor:
        """Running covariance of each pair of units within a minibatch, (..., n, n)."""
        return self._covariance()

    @property
    def correlation(self) -> Tensor:
        """Running correlation of each pair of units, (..., n, n)."""
        return correlation_of(self.covariance)

    @property
    def lateral_correlation(self) -> Tensor | None:
        """Correlation of each pair of units by the lateral inhibition of what feeds them, (..., n, n)."""
        found = [each.lateral for each in self.context.producers if each.lateral is not None]
        if len(found) != 1:  # the inputs of the units are a sum of several layers, or of none
            return None
        return correlation_of(found[0])

    @property
    def gate_gradient(self) -> Tensor:
        """Running mean square of the loss's gradient by a gate of one on each unit, (..., n)."""
        return self._running("sum_gate_gradient", "seen_gradients")

    @property
    def outgoing(self) -> Tensor:
        """Norm of the weights that read each unit, (..., n); 1 where no layer reads them.

        Where the layers around the units are not at hand, it is that of the last event.
        """
        if not self.context.consumers and "outgoing" in self.tensors:
            return self.tensors["outgoing"]
        return self._joint_norm([consumer.norm(self.alive) for consumer in self.context.consumers])

    @property
    def incoming(self) -> Tensor:
        """Norm of the weights that feed each unit, (..., n); 1 where no layer feeds them."""
        weights = [connected_weight(each.weight, each.mask) for each in self.context.producers]
        lead = self.alive.dim()
        return self._joint_norm([torch.linalg.vector_norm(each.flatten(lead), dim=-1) for each in weights])

    @property
    def fan_in(self) -> int:
        """How many connections lead to each unit."""
        lead = self.alive.dim()
        return sum(each.fan_in or math.prod(each.weight.shape[lead:]) for each in self.context.producers)

    @property
    def incoming_weights(self) -> Tensor:
        """The weights that feed each unit, (..., n, inputs), of all layers that feed them side by side."""
        lead = self.alive.dim()
        weights = [connected_weight(each.weight, each.mask) for each in self.context.producers]
        return torch.cat([each.flatten(lead) for each in weights], -1)

    @property
    def incoming_gradients(self) -> Tensor:
        """The last gradients of `incoming_weights`, of their shape."""
        lead = self.alive.dim()
        found = [
            torch.zeros_like(each.weight) if each.gradient is None else each.gradient
            for each in self.context.producers
        ]
        return torch.cat([each.flatten(lead) for each in found], -1)

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

    def by_elimination(self, fixed: Tensor, weight: Tensor, ridge: Tensor) -> tuple[Tensor, Tensor]:
        """Log scores of units that leave one after the other; see `hebbevo.rules.units.rule.UnitLayer`."""
        may_leave = self.alive & (self.tensors["age"] >= self.k.grace)
        if not self.may_sync or self.due is None:
            return eliminated(fixed, weight, ridge, self.covariance, self.alive, may_leave, self.most)
        # networks without an event, those whose scores have no such term, and pruned units keep what is fixed
        n = fixed.shape[-1]
        networks = (self.due & (weight > 0).squeeze(-1)).flatten().nonzero()  # (k, 1)
        scores, at_first = (fixed.reshape(-1, n).to(torch.double, copy=True) for _ in range(2))
        if not len(networks):
            return scores.reshape(fixed.shape), at_first.reshape(fixed.shape)
        alive, may_leave = (each.reshape(-1, n)[networks.squeeze(-1)] for each in (self.alive, may_leave))
        living = max(1, int(alive.sum(-1).max()))
        units = (~alive).long().argsort(dim=-1, stable=True)[:, :living]  # (k, living), those that live first
        scores[networks, units], at_first[networks, units] = eliminated(
            scores[networks, units],
            weight.reshape(-1, 1)[networks.squeeze(-1)],
            ridge.reshape(-1, 1)[networks.squeeze(-1)],
            self._covariance(networks, units),
            alive.gather(-1, units),
            may_leave.gather(-1, units),
            self.most,
        )
        return scores.reshape(fixed.shape), at_first.reshape(fixed.shape)

    def gate_gradients(self) -> Tensor:
        """Gradients of the loss by a gate of one on each unit, (..., n), for the minibatch just computed."""
        found = [consumer.gate_gradient(self.alive) for consumer in self.context.consumers]
        return torch.stack(found).sum(0)

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

    def by_number(self, units: Tensor) -> Tensor:
        """From units by their slots, (..., n) bool, to units by their numbers, (..., size) bool."""
        if self.numbers is None:
            return units
        found = torch.zeros(*units.shape[:-1], self.size, dtype=torch.bool, device=units.device)
        return found.scatter(-1, self.numbers, units)

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

    def _running(self, total: str, seen: str = "seen") -> Tensor:
        """A decayed mean: the quotient of equation 1 of `hebbevo.rules.units.statistics`."""
        return self.tensors[total] / self.tensors[seen].clamp(min=1e-12)

    def _joint_norm(self, norms: Sequence[Tensor]) -> Tensor:
        """The norm of the weights of all layers together, from the norms for each layer."""
        if not norms:
            return torch.ones_like(self.tensors["age"], dtype=torch.float32)
        joint: Tensor = (
            norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(list(norms)), dim=0)
        )
        return joint

    def _covariance(self, *networks_and_units: Tensor) -> Tensor:
        """`covariance`, or that of some units of some networks, (k, 1) and (k, m) int64, as (k, m, m)."""
        scale = self.tensors["seen"].clamp(min=1).rsqrt()  # it is 0, or 1 and more
        total = self.tensors["sum_covariance"]
        if networks_and_units:
            networks, units = networks_and_units
            n = scale.shape[-1]
            scale = scale.reshape(-1, n)[networks, units]
            places = networks.unsqueeze(-1), units.unsqueeze(-1), units.unsqueeze(-2)
            total = total.reshape(-1, n, n)[places]
        # of a pair, what was gathered since the later one was regrown counts as far as it is evidence on the
        # earlier one too: so the matrix stays positive semi-definite
        return total * scale.unsqueeze(-1) * scale.unsqueeze(-2)


def correlation_of(covariance: Tensor) -> Tensor:
    """Covariances, (..., n, n), over the deviations of both units."""
    spread = covariance.diagonal(dim1=-2, dim2=-1).clamp(min=1e-12).sqrt()
    return covariance / (spread.unsqueeze(-1) * spread.unsqueeze(-2))
