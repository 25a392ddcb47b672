"""The engine that prunes and regrows: it alone changes masks, weights, biases and optimiser moments.

A rule gives scores (`hebbevo.rules`); here they become deaths and births, with caps, floors and grace, exact
counts, constants folded into biases, weights of zero for what is pruned, fresh weights and moments for what
returns. Every tensor may have leading axes (networks of a stack), so one network in any training loop, a
stack under `torch.func.vmap` and the compact stack share this code. It asks a device for no value unless it
is allowed to ``look``, so it can be recorded as a CUDA graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from hebbevo.nn import stateless_random
from hebbevo.nn.plastic import Named
from hebbevo.nn.statistics import buffers
from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import OLD, REBIRTHS, UnitRule
from hebbevo.rules.units.statistics import FoldedMean

Tensors = Mapping[str, Tensor]
Moments = Mapping[str, tuple[Tensor, ...]]
"""Optimiser state by the parameter's name, each entry of the parameter's shape."""
Source = tuple[tuple[int, ...], ...]
"""By group and input column of a layer, the number of the unit that it reads; -1: none of these units."""

SCORE_STREAM, BIRTH_STREAM, WEIGHT_STREAM = 0, 1, 2  # further feeders have the streams after it


@dataclass(frozen=True)
class Feeder:
    """A layer that feeds n units and nothing else; changed in place.

    Attributes:
        weight: (..., n, *inputs).
        bias: (..., n), or ``None``.
        moments: optimiser state of the weight and the bias, of their shapes.
        mask: (..., n, *inputs) bool, which connections are in; ``None``: all.
        held: what a mask keeps of the weights, (..., n, *inputs), or ``None``.
        fan_in: inputs of a unit; 0: as many as the weights have.
        inputs: numbers of the inputs, (*inputs) or (..., *inputs) int; ``None``: in their order.
        living: gives which inputs come from units that live, (..., inputs) bool; ``None``: all, or not known.
    """

    weight: Tensor
    bias: Tensor | None
    moments: tuple[Tensor, ...] = ()
    mask: Tensor | None = None
    held: Tensor | None = None
    fan_in: int = 0
    inputs: Tensor | None = None
    living: Callable[[], Tensor] | None = None


@dataclass(frozen=True)
class Norm:
    """A batch norm between n units and their feeders, the units' own; changed in place.

    Attributes:
        weight: (..., n) scale, or ``None``; so are ``bias``, ``mean`` and ``var``, the running statistics.
        moments: optimiser state of the scale and the bias.
    """

    weight: Tensor | None
    bias: Tensor | None
    mean: Tensor | None
    var: Tensor | None
    moments: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Listener:
    """A layer that reads n units; changed in place.

    Attributes:
        weight: (..., outputs, inputs, *kernel).
        bias: (..., outputs), or ``None`` where a unit's mean output cannot be folded into it.
        moments: optimiser state, each of the shape of ``weight``.
        source: ``None`` where the inputs are the units in their order.
        held: what a mask keeps of the weights, of their shape, or ``None``.
        mask: which connections are in, of their shape; ``None``: all.
    """

    weight: Tensor
    bias: Tensor | None
    moments: tuple[Tensor, ...] = ()
    source: Source | None = None
    held: Tensor | None = None
    mask: Tensor | None = None

    def norm(self, units: Tensor) -> Tensor:
        """Norm of the weights that read each unit, (..., n); ``units`` is any tensor of (..., n)."""
        weight, lead = _in(self.weight, self.mask), units.dim() - 1
        if self.source is None:
            by_unit = weight.movedim(lead + 1, lead).flatten(lead + 1)
            norm: Tensor = torch.linalg.vector_norm(by_unit, dim=-1)
            return norm
        squares = self._grouped(weight, lead).square()
        by_column = squares.movedim(lead + 2, lead + 1).flatten(lead + 2).sum(-1).flatten(lead)
        place = _columns(self.source, weight.device).flatten() % (units.shape[-1] + 1)  # -1: the last one
        total = weight.new_zeros(*units.shape[:-1], units.shape[-1] + 1).index_add(-1, place, by_column)
        return total[..., :-1].sqrt()

    def fold(self, output: Tensor) -> None:
        """Add to the bias what units of these constant outputs, (..., n), contribute."""
        if self.bias is None:
            return
        weight, lead, output = _in(self.weight, self.mask), output.dim() - 1, output.to(self.weight.dtype)
        if self.source is None and weight.dim() == lead + 2:
            self.bias.add_((output.unsqueeze(-2) @ weight.mT).squeeze(-2))
        else:
            read = (self._grouped(weight, lead) * self._by_column(output, weight, lead)).flatten(lead + 2)
            self.bias.add_(read.sum(-1).flatten(lead))

    def clear(self, chosen: _Chosen, values: Tensor) -> None:
        """Set to zero what ``values``, of the shape of the weights, have of the chosen units."""
        lead = chosen.units.dim() - 1
        if self.source is None:
            chosen.fill(values.movedim(lead + 1, lead))
        else:
            self._grouped(values, lead).masked_fill_(self._by_column(chosen.units, values, lead), 0)

    def _grouped(self, values: Tensor, lead: int) -> Tensor:
        """(..., outputs, inputs, *kernel) as (..., groups, outputs of a group, inputs, *kernel)."""
        grouped: Tensor = values.unflatten(lead, (len(self.source or ((),)), -1))  # type: ignore[no-untyped-call]
        return grouped

    def _by_column(self, of_unit: Tensor, values: Tensor, lead: int) -> Tensor:
        """Lay a value a unit, (..., n), along the grouped inputs; zero for inputs that are none of them."""
        if self.source is None:
            laid = of_unit.unsqueeze(-2)
        else:
            padded = torch.cat([of_unit, torch.zeros_like(of_unit[..., :1])], -1)
            laid = padded[..., _columns(self.source, of_unit.device)]
        return laid.reshape(*laid.shape[:-1], 1, laid.shape[-1], *(1,) * (values.dim() - lead - 2))


def _in(weight: Tensor, mask: Tensor | None) -> Tensor:
    """Weights, zero where a connection is out."""
    return weight.detach() if mask is None else torch.where(mask, weight.detach(), 0)


def living_inputs(alive: Tensor, source: Source | None) -> Tensor:
    """Which inputs of a layer come from living units, or from none at all, (..., inputs) bool."""
    if source is None:
        return alive
    padded = torch.cat([alive, torch.ones_like(alive[..., :1])], -1)
    return padded[..., _columns(source, alive.device)[0]]


@lru_cache(maxsize=256)
def _columns(source: Source, device: torch.device) -> Tensor:
    return torch.tensor(source, device=device)


@dataclass(frozen=True)
class Around:
    """The layers around n units.

    Attributes:
        exclusive: whether the listeners' weights can be zeroed without a loss to others.
        loss: (...), running mean of the training loss, or ``None`` where it is not known.
    """

    feeders: tuple[Feeder, ...] = ()
    norms: tuple[Norm, ...] = ()
    listeners: tuple[Listener, ...] = ()
    exclusive: bool = False
    loss: Tensor | None = None


@dataclass(frozen=True)
class Units:
    """A layer of n units, of one network or of many, and all that is changed when they are pruned.

    Attributes:
        rule: the science.
        tensors: knobs, (...), and buffers, (..., n), by name; changed in place.
        around: its neighbours.
        size: units of the layer; more than n where some have no slot.
        numbers: which unit each slot holds, (..., n) int64; ``None``: all in their order.
        inputs: whether they are input units.
        look: whether values may be asked for, so that only what changes is written.
        idle: what no network here wants: ``returns``, ``folds``, ``targets``, ``outgoing``.
    """

    rule: UnitRule
    tensors: Tensors
    around: Around
    size: int
    numbers: Tensor | None = None
    inputs: bool = False
    look: bool = False
    idle: Collection[str] = ()

    @cached_property
    def k(self) -> Named:
        """Knobs, (..., 1) or (..., n)."""
        return Named(self.tensors, 1, [name for name, knob in self.rule.knobs.items() if knob.per_unit])

    @cached_property
    def s(self) -> Named:
        """Buffers, (..., n)."""
        return Named(self.tensors)

    @property
    def alive(self) -> Tensor:
        """Which units live, (..., n) bool."""
        return self.tensors["alive"]

    @property
    def mean(self) -> Tensor:
        """Running mean of each unit's output."""
        return self._running("sum_output")

    @property
    def variance(self) -> Tensor:
        """Its running variance."""
        return (self._running("sum_square") - self.mean.square()).clamp(min=0)

    @property
    def firing_rate(self) -> Tensor:
        """Running share of rows in which each unit fires."""
        return self._running("sum_firing")

    @property
    def correlation(self) -> Tensor:
        """Running correlation of each pair of units, (..., n, n)."""
        seen = self.tensors["seen"]
        both = torch.minimum(seen.unsqueeze(-1), seen.unsqueeze(-2)).clamp(min=1e-12)
        mean = self.mean
        covariance = self.tensors["sum_products"] / both - mean.unsqueeze(-1) * mean.unsqueeze(-2)
        spread = covariance.diagonal(dim1=-2, dim2=-1).clamp(min=1e-12).sqrt()
        return covariance / (spread.unsqueeze(-1) * spread.unsqueeze(-2))

    @property
    def outgoing(self) -> Tensor:
        """Norm of the weights that read each unit."""
        norms = [listener.norm(self.alive) for listener in self.around.listeners]
        if not norms:
            return torch.ones_like(self.tensors["age"], dtype=torch.float32)
        return norms[0] if len(norms) == 1 else _joint(norms)

    @property
    def incoming(self) -> Tensor:
        """Norm of the weights that feed each unit."""
        lead = self.alive.dim()
        norms = [
            torch.linalg.vector_norm(_in(each.weight, each.mask).flatten(lead), dim=-1)
            for each in self.around.feeders
        ]
        if not norms:
            return torch.ones_like(self.tensors["age"], dtype=torch.float32)
        return norms[0] if len(norms) == 1 else _joint(norms)

    @property
    def loss(self) -> Tensor | None:
        """Running mean of the training loss, (..., 1)."""
        return None if self.around.loss is None else self.around.loss.unsqueeze(-1)

    @property
    def step(self) -> Tensor:
        """Forward steps so far, (..., 1)."""
        return self.tensors["steps"].unsqueeze(-1)

    @property
    def total(self) -> Tensor:
        """Forward steps of the whole training, (..., 1)."""
        return self.tensors["total_steps"].unsqueeze(-1)

    def draw(self, stream: int = SCORE_STREAM) -> Tensor:
        """Uniform numbers in (0, 1), (..., n): a function of seed, step and unit alone."""
        return self._drawn(stream, self.numbers)

    def draw_all(self, stream: int) -> Tensor:
        """The same for all units, (..., size), those without a slot among them."""
        return self._drawn(stream, None)

    def _drawn(self, stream: int, numbers: Tensor | None) -> Tensor:
        seed, step = self.tensors["seed"], self.tensors["steps"]
        if numbers is None:
            numbers = torch.arange(self.size, device=seed.device)
        return stateless_random.at(seed.unsqueeze(-1), step.unsqueeze(-1), numbers, stream)

    @property
    def keeps_weights(self) -> Tensor:
        """Whether a returning unit has its old weights, (..., 1) bool."""
        kept: Tensor = self.k.rebirth == REBIRTHS.index(OLD)
        return kept

    def chosen(self, units: Tensor) -> _Chosen:
        """Units, (..., n) bool, to be written to."""
        return _Chosen(units, self.look)

    def _running(self, total: str) -> Tensor:
        return self.tensors[total] / self.tensors["seen"].clamp(min=1e-12)


def _joint(norms: Sequence[Tensor]) -> Tensor:
    """The norm of all weights together."""
    joint: Tensor = torch.linalg.vector_norm(torch.stack(list(norms)), dim=0)
    return joint


class _Chosen:
    """Units, (..., n) bool, to be written to.

    Attributes:
        places: their indices, where values may be asked for.
    """

    def __init__(self, units: Tensor, look: bool) -> None:
        self.units = units
        self.places = units.nonzero(as_tuple=True) if look else None

    def fill(self, values: Tensor, value: float = 0) -> None:
        """Set what ``values``, (..., n, *rest), have of them, in place."""
        if self.places is not None and values.dim() > self.units.dim():
            values[self.places] = value
        else:  # which is also quicker for a number a unit
            values.masked_fill_(
                self.units.reshape(*self.units.shape, *(1,) * (values.dim() - self.units.dim())), value
            )


# --- units ---


def connect(layers: Iterable[Units]) -> None:
    """Take a first look at the layers of a network, or of many, before the first step.

    What is out from the start loses its weights, outgoing norms are measured, and targets are shared out.
    """
    layers = [layer for layer in layers if layer.rule.prunes]
    for layer in layers:
        out = ~layer.alive & ~layer.keeps_weights
        _vacate(layer, out, moments=False)
        _measure_outgoing(layer, torch.ones_like(layer.tensors["steps"], dtype=torch.bool))
    _share_targets(layers)


def _share_targets(layers: Sequence[Units]) -> None:
    """Give every layer its goal: its own target, or its part of a target for all hidden layers.

    The first hidden layer has ``target_share`` of it, the others the rest in proportion to their sizes, each
    one at least and as many as it has at most; what is then left over goes to layers that can have it. Input
    units stay as they are.
    """
    for layer in layers:
        layer.tensors["goal"].copy_(layer.tensors["target"].clamp(max=layer.size))
    hidden = [layer for layer in layers if not layer.inputs]
    if not hidden:
        return
    k = Named(hidden[0].tensors)
    first, *others = (layer.size for layer in hidden)
    parts = [(k.target * k.target_share).round()]
    ends = [sum(others[:number]) / max(sum(others), 1) for number in range(len(others) + 1)]
    rounded = [((k.target - parts[0]) * end).round() for end in ends]
    parts += [end - start for start, end in pairwise(rounded)]
    goals = [part.clamp(1, size) for part, size in zip(parts, (first, *others), strict=True)]
    missing = k.target - sum(goals)
    for place in [*range(1, len(goals)), 0]:
        more = missing.clamp(1 - goals[place], hidden[place].size - goals[place])
        goals[place], missing = goals[place] + more, missing - more
    inputs = [layer for layer in layers if layer.inputs]
    whole = [torch.full_like(k.target, layer.size) for layer in inputs]
    for layer, part in zip([*hidden, *inputs], [*goals, *whole], strict=True):
        goal = layer.tensors["goal"]
        goal.copy_(torch.where(k.target_share > 0, part, goal))


def prune(layer: Units, due: Tensor) -> Tensor:
    """Prune units where this is ``due``, (...), and find those that are to return now.

    Returns:
        By number of the unit, (..., size) bool: for `regrow`.
    """
    born = _births(layer, due)
    dies = _deaths(layer, due, born)
    if "folds" not in layer.idle:
        _fold(layer, dies)
    _vacate(layer, dies & ~layer.keeps_weights, moments=True)
    _measure_outgoing(layer, due)
    layer.alive.logical_and_(~dies)
    return born


def regrow(layer: Units, born: Tensor) -> None:
    """Let units return, (..., n) bool, with fresh weights if nothing else loses by it, else with old ones."""
    exclusive = layer.around.exclusive
    fresh = born & ~layer.keeps_weights & exclusive
    returning, renewed = layer.chosen(born), layer.chosen(fresh)
    for listener in layer.around.listeners if exclusive else ():
        for moment in listener.moments:
            listener.clear(returning, moment)
        _clear_listener(listener, renewed)
    for number, feeder in enumerate(layer.around.feeders):
        for moment in feeder.moments:
            returning.fill(moment)
        if feeder.bias is not None:
            renewed.fill(feeder.bias)
        _redraw(layer, feeder, renewed, WEIGHT_STREAM + number)
    for norm in layer.around.norms:
        for own, value in ((norm.weight, 1), (norm.bias, 0), (norm.mean, 0), (norm.var, 1)):
            if own is not None:
                renewed.fill(own, value)
        for moment in norm.moments:
            returning.fill(moment)
    if "outgoing" in layer.tensors and layer.around.listeners:
        renewed.fill(layer.tensors["outgoing"])
    layer.alive.logical_or_(born)
    _begin_anew(layer, returning)


def _births(layer: Units, due: Tensor) -> Tensor:
    """Units that return at this event, (..., size) bool."""
    k, tensors = Named(layer.tensors), layer.tensors
    if layer.numbers is None:
        out = ~layer.alive
    else:
        out = torch.ones(*layer.alive.shape[:-1], layer.size, dtype=torch.bool, device=due.device)
        out.scatter_(-1, layer.numbers, ~layer.alive)
    loss = layer.around.loss
    if loss is not None:
        better = loss < tensors["best_loss"]
        tensors["best_loss"].copy_(torch.where(due & better, loss, tensors["best_loss"]))
        tensors["stalled"].copy_(
            torch.where(due, torch.where(better, 0, tensors["stalled"] + 1), tensors["stalled"])
        )
    if "returns" in layer.idle:
        return torch.zeros_like(out)
    chance: Tensor = k.regrowth_rate + k.growth_rate * (tensors["stalled"] >= k.patience)
    born: Tensor = due.unsqueeze(-1) & out & (layer.draw_all(BIRTH_STREAM) < chance.unsqueeze(-1))
    if "targets" not in layer.idle:  # what joins at the last event would never be pruned again
        step, total = tensors["steps"], tensors["total_steps"]
        last = schedule.events_passed(k, step, total) >= k.events
        left = schedule.left(k, step, total, tensors["goal"], layer.size)
        most = torch.where(last, 0, left // 2).unsqueeze(-1)
        born &= ~schedule.by_target(k).unsqueeze(-1) | (born.cumsum(-1) <= most)
    return born


def _deaths(layer: Units, due: Tensor, born: Tensor) -> Tensor:
    """Units that are pruned at this event, (..., n) bool, where it is ``due``, (...)."""
    k, alive = layer.k, layer.alive
    score = layer.rule.score(k, layer.s, layer)
    living = alive.sum(-1, keepdim=True)
    past_grace = layer.tensors["age"] >= k.grace
    candidates = alive & past_grace & (score <= getattr(k, layer.rule.threshold))
    cap = (k.max_deaths * living).floor().clamp(min=1) * (k.max_deaths > 0)
    allowed = torch.minimum(cap, (living - k.min_neurons).clamp(min=0))
    if "targets" not in layer.idle:
        by_target = schedule.by_target(k)
        goal = layer.tensors["goal"].unsqueeze(-1)
        left = schedule.left(k, layer.step, layer.total, goal, layer.size)
        surplus = (living + born.sum(-1, keepdim=True) - left).clamp(min=0)
        largest = torch.finfo(score.dtype).max
        # units past their grace go before others, and scores before what is not a number
        ranked = score.masked_fill(~past_grace, largest).nan_to_num(largest, largest)
        score = torch.where(by_target, ranked, score)
        candidates = torch.where(by_target, alive, candidates)
        allowed = torch.where(by_target, surplus, allowed)
    lowest_first = torch.where(candidates, score, torch.inf).argsort(stable=True)
    dies: Tensor = due.unsqueeze(-1) & candidates & (lowest_first.argsort() < allowed)
    return dies


def _fold(layer: Units, dies: Tensor) -> None:
    """Hand the mean outputs of dying units to the biases of the layers that read them directly."""
    k, tensors = layer.k, layer.tensors
    # a running mean that began at zero has this much of its weight
    weight = 1 - (1 - FoldedMean.RATE) ** torch.minimum(tensors["age"], tensors["steps"].unsqueeze(-1))
    gone = torch.where(dies & k.handover, tensors["mean_output"] / weight, 0)
    for listener in layer.around.listeners:
        listener.fold(gone)


def _vacate(layer: Units, leaving: Tensor, *, moments: bool) -> None:
    """Set the weights to and from units that leave to zero, and the optimiser's moments of them."""
    if not layer.around.exclusive:
        return
    chosen = layer.chosen(leaving)
    for listener in layer.around.listeners:
        _clear_listener(listener, chosen)
        for moment in listener.moments if moments else ():
            listener.clear(chosen, moment)
    for feeder in layer.around.feeders:
        for values in (feeder.weight, feeder.bias, feeder.held, *(feeder.moments if moments else ())):
            if values is not None:
                chosen.fill(values)


def _clear_listener(listener: Listener, chosen: _Chosen) -> None:
    listener.clear(chosen, listener.weight)
    if listener.held is not None:
        listener.clear(chosen, listener.held)


def _redraw(layer: Units, feeder: Feeder, fresh: _Chosen, stream: int) -> None:
    """Draw the incoming weights of fresh units anew (He et al., 2015), where connections are in."""
    weight, lead = feeder.weight, fresh.units.dim()
    kernel = weight.shape[lead:]
    seed, step = layer.tensors["seed"], layer.tensors["steps"]
    numbers, inputs = layer.numbers, feeder.inputs
    if numbers is None:
        numbers = torch.arange(layer.size, device=weight.device).expand(fresh.units.shape)
    if inputs is None:
        inputs = torch.arange(math.prod(kernel), device=weight.device).reshape(kernel)
    ones, fan_in = (1,) * len(kernel), feeder.fan_in or math.prod(kernel)
    living = None if feeder.living is None else feeder.living()
    if living is not None:  # nothing is drawn from pruned units, which have weights of zero
        living = living.reshape(*living.shape, *(1,) * (len(kernel) - 1))
    for values in (weight, feeder.held):
        if values is None:
            continue
        if fresh.places is not None:
            networks = fresh.places[:-1]
            own = inputs if inputs.dim() == len(kernel) else inputs[networks]
            index = numbers[fresh.places].reshape(-1, *ones) * fan_in + own
            drawn = stateless_random.at(
                seed[networks].reshape(-1, *ones), step[networks].reshape(-1, *ones), index, stream
            )
            drawn = he(drawn, fan_in).to(values.dtype)
            if feeder.mask is not None:
                drawn = drawn * feeder.mask[fresh.places]
            if living is not None:
                drawn = drawn * living[networks]
            values[fresh.places] = drawn
        else:
            own = inputs if inputs.dim() == len(kernel) else inputs.unsqueeze(lead - 1)
            index = numbers.int().reshape(*numbers.shape, *ones) * fan_in + own.int()
            laid_seed, laid_step = (each.reshape(*each.shape, 1, *ones) for each in (seed, step))
            drawn = he(stateless_random.at(laid_seed, laid_step, index, stream), fan_in).to(values.dtype)
            if feeder.mask is not None:
                drawn = drawn * feeder.mask
            if living is not None:
                drawn = drawn * living.unsqueeze(lead - 1)
            chosen = fresh.units.reshape(*fresh.units.shape, *ones)
            values.copy_(torch.where(chosen, drawn, values))


def he(drawn: Tensor, inputs: int) -> Tensor:
    """Weights of units with so many inputs (He et al., 2015), from numbers of (0, 1)."""
    return (2 * drawn - 1) * math.sqrt(6 / inputs)


def _measure_outgoing(layer: Units, due: Tensor) -> None:
    """Measure the norm of the weights to all layers that read the units, where statistics want it."""
    if "outgoing" in layer.tensors and "outgoing" not in layer.idle and layer.around.listeners:
        kept = layer.tensors["outgoing"]
        kept.copy_(torch.where(due.unsqueeze(-1), layer.outgoing, kept))


def _begin_anew(layer: Units, returning: _Chosen) -> None:
    """Forget what was gathered of units that return."""
    returning.fill(layer.tensors["age"])
    for name, buffer in buffers(layer.rule).items():
        values = layer.tensors[name]
        if isinstance(buffer.start, str):
            start = getattr(layer.k, buffer.start).to(values.dtype)
            values.copy_(torch.where(returning.units, start, values))
            continue
        returning.fill(values, buffer.start)
        if buffer.pairs:
            returning.fill(values.mT, buffer.start)


# --- connections ---


@dataclass(frozen=True)
class Connections:
    """The connections of a layer, of one network or of many, and all that is changed when they are pruned.

    Every tensor with a number for each connection is (..., outputs, inputs, *kernel).

    Attributes:
        rule: the science.
        knobs: knobs, steps and seed of the module, (...), by name.
        tensors: ``connected`` and, by rule, ``frozen``, ``held``, ``gradient`` and its own buffers; they are
            changed in place.
        weight: of the layer.
        size: connections of the whole layer; more than the tensors have where some units have no slot.
        numbers: gives which connection each entry is, int64; ``None``: all in their order.
        sums: what was asked for of the last minibatch, by the names of `hebbevo.rules.connections.rule.Link`.
        mean_loss: (...), running mean of the training loss, or ``None``.
    """

    rule: ConnectionRule
    knobs: Tensors
    tensors: Tensors
    weight: Tensor
    size: int
    numbers: Callable[[], Tensor] | None = None
    sums: Tensors = field(default_factory=dict)
    mean_loss: Tensor | None = None

    @property
    def axes(self) -> int:
        """Axes of the weights of one network."""
        return self.weight.dim() - self.knobs["steps"].dim()

    @property
    def k(self) -> Named:
        """Knobs, laid along the weights."""
        return Named(self.knobs, self.axes)

    @property
    def s(self) -> Named:
        """Buffers of the rule."""
        return Named(self.tensors)

    @property
    def mask(self) -> Tensor:
        """Which connections are in at present."""
        return self.tensors["connected"]

    @property
    def step(self) -> Tensor:
        """Forward steps so far, laid along the weights."""
        step: Tensor = self.k.steps
        return step

    @property
    def total(self) -> Tensor:
        """Forward steps of the whole training, likewise."""
        total: Tensor = self.k.total_steps
        return total

    @property
    def coactivation(self) -> Tensor:
        """The mean of input x output over the last minibatch."""
        return self.sums["coactivation"]

    @property
    def input_mean(self) -> Tensor:
        """The mean of each input over it."""
        return self.sums["input_mean"]

    @property
    def output_mean(self) -> Tensor:
        """The mean of each output over it."""
        return self.sums["output_mean"]

    @property
    def input_square(self) -> Tensor:
        """The mean of each input's square over it."""
        return self.sums["input_square"]

    @property
    def output_square(self) -> Tensor:
        """The mean of each output's square over it."""
        return self.sums["output_square"]

    @property
    def gradient(self) -> Tensor:
        """The last gradient of every weight."""
        return self.tensors["gradient"]

    @property
    def loss(self) -> Tensor | None:
        """Running mean of the training loss, laid along the weights."""
        loss = self.mean_loss
        return None if loss is None else loss.reshape(*loss.shape, *(1,) * self.axes)

    @property
    def connections(self) -> int:
        """Connections of the whole layer."""
        return self.size

    def draw(self, stream: int) -> Tensor:
        """Uniform numbers in (0, 1)."""
        if self.numbers is not None:
            numbers = self.numbers()
        else:
            shape = self.weight.shape[-self.axes :]
            numbers = torch.arange(math.prod(shape), device=self.weight.device).reshape(shape)
        return stateless_random.at(self.k.seed, self.k.steps, numbers, stream)

    def count(self, mask: Tensor) -> Tensor:
        """How many connections a mask has, with the trailing axes of the knobs."""
        return mask.sum(tuple(range(-self.axes, 0)), keepdim=True)

    def highest(self, score: Tensor, number: Tensor, among: Tensor) -> Tensor:
        """The ``number`` connections with the highest scores of those ``among``, bool; NaN is the lowest."""
        finite = torch.finfo(score.dtype)
        ranked = score.nan_to_num(finite.min, finite.max, finite.min).masked_fill(~among, -torch.inf)
        order = ranked.flatten(-self.axes).argsort(dim=-1, descending=True, stable=True)
        first = torch.arange(order.shape[-1], device=order.device) < number.flatten(-self.axes)
        return (
            torch.zeros_like(order, dtype=torch.bool).scatter(-1, order, first).reshape(score.shape) & among
        )

    # masks and weights

    def restore(self) -> None:
        """Undo in place what an optimiser has done to weights that were out; remember which are."""
        connected = self.tensors["connected"]
        if self.rule.keeps_weights:
            held, frozen = self.tensors["held"], self.tensors["frozen"]
            held.copy_(torch.where(frozen, held, self.weight))
            self.weight.copy_(held)
            frozen.copy_(connected.logical_not())
        else:
            self.weight.masked_fill_(~connected, 0)

    def undisturbed(self) -> Tensor:
        """The weights without what an optimiser has done to those that were out."""
        if self.rule.keeps_weights:
            return torch.where(self.tensors["frozen"], self.tensors["held"], self.weight)
        return self.weight


def begin(connections: Connections) -> None:
    """Take out those connections that a rule does not begin with, before the first step."""
    mask = connections.mask
    mask.copy_(connections.rule.at_first(connections.k, replace(connections, tensors=_all_in(connections))))
    if not connections.rule.keeps_weights:
        connections.weight.masked_fill_(~mask, 0)


def _all_in(connections: Connections) -> Tensors:
    return {**connections.tensors, "connected": torch.ones_like(connections.mask)}


def rewire(connections: Connections, due: Tensor, moments: Sequence[Tensor] = ()) -> None:
    """Let connections leave and enter where this is ``due``, (...).

    What leaves has weight zero from now on, and so has what enters, unless the rule keeps weights; optimiser
    moments of either are zero.
    """
    rule, before = connections.rule, connections.mask
    wanted = rule.wanted(connections.k, connections.s, connections)
    after = torch.where(due.reshape(*due.shape, *(1,) * connections.axes), wanted, before)
    if not rule.keeps_weights:
        changed = (after ^ before) | ~after
        for values in (connections.weight, *moments):
            values.masked_fill_(changed, 0)
    before.copy_(after)


# --- credit


def update(parameters: Iterable[tuple[Tensor | None, Tensor | None]]) -> None:
    """Add to weights and biases what a credit rule gives for them, in place of the optimiser's step."""
    with torch.no_grad():
        for parameter, change in parameters:
            if parameter is not None and change is not None:
                parameter.add_(change)
