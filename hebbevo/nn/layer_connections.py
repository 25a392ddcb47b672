"""The connections of a layer as the engine and the rules see them, of one network or of many."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hebbevo.nn import stateless_random
from hebbevo.nn.layer_context import Tensors
from hebbevo.nn.plastic import TensorNamespace, known_on_host
from hebbevo.nn.threshold import highest_by_threshold
from hebbevo.rules.connections.rule import ConnectionRule

EXPLORATION = ("explored", "grown")
"""Tensors of a growing rule: which connections were ever in, and which ever entered after the start."""

_FEW_ENTRIES = 2**11  # so few are sorted, for all networks at once


@dataclass(frozen=True)
class LayerConnections:
    """The connections of a layer, of one network or of many, with all tensors that change at an event.

    It is the `hebbevo.rules.connections.rule.ConnectionLayer` that rules see. Every tensor with a number for
    each connection is (..., outputs, inputs, *kernel).

    Attributes:
        rule: its scores or thresholds, and its events.
        knobs: knobs, steps and seed of the module, (...), by name.
        tensors: ``connected`` and, by rule, ``frozen``, ``held``, ``gradient`` and its own buffers; they are
            changed in place.
        weight: of the layer.
        size: connections of the whole layer; more than the tensors have where some units have no slot.
        numbers: gives which connection each entry is, int64; ``None``: all connections in their order.
        sums: the means over the last minibatch that the rule needs, by their names in `ConnectionLayer`.
        mean_loss: (...), running mean of the training loss, or ``None``.
        find_living: gives which connections lie between living units, broadcast to the weights, bool;
            ``None``: all, or not known.
    """

    rule: ConnectionRule
    knobs: Tensors
    tensors: Tensors
    weight: Tensor
    size: int
    numbers: Callable[[], Tensor] | None = None
    sums: Tensors = field(default_factory=dict)
    mean_loss: Tensor | None = None
    find_living: Callable[[], Tensor] | None = None

    def of(self, networks: slice) -> LayerConnections:
        """The connections of some networks of a stack; changes reach the stack."""
        numbers, living = self.numbers, self.find_living
        return replace(
            self,
            knobs={name: knob[networks] for name, knob in self.knobs.items()},
            tensors={name: tensor[networks] for name, tensor in self.tensors.items()},
            weight=self.weight[networks],
            numbers=None if numbers is None else lambda: numbers()[networks],
            sums={name: total[networks] for name, total in self.sums.items()},
            mean_loss=None if self.mean_loss is None else self.mean_loss[networks],
            find_living=None if living is None else lambda: living()[networks],
        )

    @property
    def axes(self) -> int:
        """Axes of the weights of one network."""
        return self.weight.dim() - self.knobs["steps"].dim()

    @property
    def k(self) -> TensorNamespace:
        """Knobs, laid along the weights."""
        return TensorNamespace(self.knobs, self.axes)

    @property
    def s(self) -> TensorNamespace:
        """Buffers of the rule."""
        return TensorNamespace(self.tensors)

    @property
    def mask(self) -> Tensor:
        """Which connections are in at present, bool."""
        return self.tensors["connected"]

    @property
    def step(self) -> Tensor:
        """Forward steps so far, laid along the weights."""
        step: Tensor = self.k.steps
        return step

    @property
    def total(self) -> Tensor:
        """Forward steps of the whole training, laid along the weights."""
        total: Tensor = self.k.total_steps
        return total

    @property
    def coactivation(self) -> Tensor:
        """The mean of input x output over the last minibatch."""
        return self.sums["coactivation"]

    @property
    def input_mean(self) -> Tensor:
        """The mean of each input over the last minibatch."""
        return self.sums["input_mean"]

    @property
    def output_mean(self) -> Tensor:
        """The mean of each output over the last minibatch."""
        return self.sums["output_mean"]

    @property
    def input_square(self) -> Tensor:
        """The mean of each input's square over the last minibatch."""
        return self.sums["input_square"]

    @property
    def output_square(self) -> Tensor:
        """The mean of each output's square over the last minibatch."""
        return self.sums["output_square"]

    @property
    def gradient(self) -> Tensor:
        """The last gradient of every weight."""
        return self.tensors["gradient"]

    @property
    def loss(self) -> Tensor | None:
        """Running mean of the training loss, laid along the weights, or ``None``."""
        loss = self.mean_loss
        return None if loss is None else loss.reshape(*loss.shape, *(1,) * self.axes)

    @property
    def connections(self) -> int:
        """Connections of the whole layer."""
        return self.size

    @property
    def density(self) -> Tensor:
        """The fraction of its connections that the layer shall have, laid along the weights."""
        density: Tensor = self.k.layer_density
        return density

    @property
    def longest_stall(self) -> Tensor:
        """The most events in a row without a lower training loss so far, laid along the weights."""
        longest: Tensor = self.k.longest_stall
        return longest

    @property
    def living(self) -> Tensor:
        """Which connections lie between living units, as far as known, broadcast to the weights, bool."""
        if self.find_living is None:
            return torch.ones((), dtype=torch.bool, device=self.weight.device)
        return self.find_living()

    @property
    def fan_in(self) -> int:
        """How many connections lead to each output, pruned ones included."""
        return math.prod(self.weight.shape[1 - self.axes :])

    def draw(self, stream: int) -> Tensor:
        """Uniform numbers in (0, 1): a function of seed, step, stream and connection alone."""
        if self.numbers is not None:
            numbers = self.numbers()
        else:
            shape = self.weight.shape[-self.axes :]
            numbers = torch.arange(math.prod(shape), device=self.weight.device).reshape(shape)
        return stateless_random.uniform_at(self.k.seed, self.k.steps, numbers, stream)

    def count(self, mask: Tensor) -> Tensor:
        """How many connections of each network are in a mask, laid along the weights."""
        return self.summed(mask)

    def summed(self, values: Tensor) -> Tensor:
        """The sum of a value of each connection over those of each network, laid along the weights."""
        return values.sum(tuple(range(-self.axes, 0)), keepdim=True)

    def highest(self, score: Tensor, number: Tensor, among: Tensor) -> Tensor:
        """The ``number`` of the connections in ``among`` with the highest scores, bool; NaN is the lowest."""
        return _highest(score, number, among, self.axes)

    def count_of_each(self, mask: Tensor) -> Tensor:
        """How many connections of each output are in a mask, (..., outputs, 1, *ones)."""
        return mask.sum(tuple(range(1 - self.axes, 0)), keepdim=True)

    def highest_of_each(self, score: Tensor, number: Tensor, among: Tensor) -> Tensor:
        """`highest` among the connections of each output; ``number`` is (..., outputs, 1, *ones)."""
        return _highest(score, number, among, self.axes - 1)

    def exploration(self) -> Tensor:
        """How many connections of each network there are, were ever in, ever entered, and are left of these.

        Shape (..., 4), int64.
        """
        explored, grown = (self.tensors[name] for name in EXPLORATION)
        found = [torch.ones_like(grown), explored | self.mask, grown, grown & self.mask]
        return torch.stack([self.count(each).flatten(-self.axes).squeeze(-1) for each in found], -1)

    def undisturbed(self) -> Tensor:
        """The weights, without the changes of an optimiser to connections that were out at the last step."""
        if self.rule.keeps_weights:
            return torch.where(self.tensors["frozen"], self.tensors["held"], self.weight)
        return self.weight


def _highest(score: Tensor, number: Tensor, among: Tensor, axes: int) -> Tensor:
    """The ``number`` of entries in ``among`` with the highest scores, along so many last axes, bool."""
    entries = math.prod(score.shape[-axes:])
    if entries > _FEW_ENTRIES and known_on_host(score) and known_on_host(number):
        return highest_by_threshold(score, number, among, axes)
    finite = torch.finfo(score.dtype)
    ranked = score.nan_to_num(finite.min, finite.max, finite.min).masked_fill(~among, -torch.inf)
    # a stable order, so that equal scores are ranked alike in every stack
    order = ranked.flatten(-axes).argsort(dim=-1, descending=True, stable=True)
    first = torch.arange(order.shape[-1], device=order.device) < number.flatten(-axes)
    found = torch.zeros_like(order, dtype=torch.bool).scatter(-1, order, first).reshape(ranked.shape)
    return found & among


PER_PARAMETER: Mapping[str, float] = {
    "layer_density": 1.0, "best_loss": math.inf, "stalled": 0.0, "longest_stall": 0.0
}  # fmt: skip
"""State of a module with a number for each masked parameter, (..., parameters), by name, with its start."""


def of_parameter(buffers: Tensors, place: int) -> dict[str, Tensor]:
    """The knobs, steps and seed of a module as they are for one of its masked parameters.

    Args:
        buffers: of the module, (...) each, and those of `PER_PARAMETER`.
        place: of the parameter among those that are masked. Each has random numbers of its own.
    """
    own = {name: value[..., place] if name in PER_PARAMETER else value for name, value in buffers.items()}
    return own | {"seed": buffers["seed"] + place} if place else own
