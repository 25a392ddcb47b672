"""The engine that prunes and regrows: it alone changes masks, weights, biases and optimiser moments.

A rule gives scores (`hebbevo.rules`). Here they become units that are pruned and regrown: with caps, floors,
grace and exact counts. Mean outputs are folded into biases, what is pruned has weights of zero, and what is
regrown has fresh weights and no optimiser moments.

Every tensor may have leading axes, those of the networks of a stack. So one network in any training loop, a
stack under `torch.func.vmap` and the compact stack share this code. No value is read from the device unless a
layer ``may_sync``, so an event can be recorded as a CUDA graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from hebbevo.nn import stateless_random
from hebbevo.nn.bit_masks import bits_of, chosen, keep_, kept
from hebbevo.nn.layer_connections import LayerConnections
from hebbevo.nn.layer_context import Consumer, Feedback, Producer, UnitSelection
from hebbevo.nn.layer_units import (
    FEEDBACK_STREAM,
    NOISE_STREAM,
    REGROWTH_STREAM,
    WEIGHT_STREAM,
    EventPart,
    LayerUnits,
)
from hebbevo.nn.plastic import TensorNamespace, known_on_host
from hebbevo.nn.statistics import unit_buffers
from hebbevo.rules.connections import density
from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.rules.units import schedule
from hebbevo.rules.units.statistics import FoldedMean

Moments = Mapping[str, tuple[Tensor, ...]]
"""Optimiser state by the parameter's name, each entry of the parameter's shape."""


# --- units ---


def prepare_units(layers: Iterable[LayerUnits]) -> None:
    """Prepare the layers of units of a network, or of many, before the first step, in place.

    Units that are out from the start lose their weights, outgoing norms are measured, and targets are shared
    out.
    """
    layers = [layer for layer in layers if layer.rule.prunes]
    for layer in layers:
        _zero_weights(layer, ~layer.alive & ~layer.keeps_weights, moments=False)
        _measure_outgoing(layer, torch.ones_like(layer.tensors["steps"], dtype=torch.bool))
    _share_targets(layers)


def prune(layer: LayerUnits, event: Tensor) -> Tensor:
    """Prune units where this is an ``event``, (...) bool, and find the units that are regrown at it.

    Returns:
        Which units are to be regrown, by their number, (..., size) bool: for `regrow`.
    """
    regrown = _find_regrown(layer, event)
    pruned = _find_pruned(layer, event, regrown)
    if layer.rule.recycles:
        regrown = regrown | layer.by_number(pruned & ~schedule.uses_target(layer.k))
    if EventPart.FOLDING not in layer.skipped:
        _fold_into_biases(layer, pruned)
    _zero_weights(layer, pruned & ~layer.keeps_weights, moments=True)
    _measure_outgoing(layer, event)
    layer.alive.logical_and_(~pruned)
    return regrown


def regrow(layer: LayerUnits, regrown: Tensor) -> None:
    """Regrow units, (..., n) bool, in place.

    They have fresh weights where nothing but these units loses by it, as ReDo gives them (Sokar et al., 2023,
    arXiv:2302.12902, section 4): incoming ones are drawn anew, outgoing ones are zero. Otherwise they have
    their old weights. Optimiser moments are zero in any case: old ones would move fresh weights at once.
    Where an optimiser counts steps for whole weights, `hebbevo.rules.rule.Need.OWN_STEPS` starts them anew.
    """
    context = layer.context
    fresh = regrown & ~layer.keeps_weights & context.exclusive
    returning, renewed = layer.selection(regrown), layer.selection(fresh)
    for consumer in context.consumers if context.exclusive else ():
        for moment in consumer.moments:
            consumer.clear(returning, moment)
        _clear_weights(consumer, renewed)
    for number, producer in enumerate(context.producers):
        for moment in producer.moments:
            returning.fill(moment)
        if producer.bias is not None:
            renewed.fill(producer.bias)
        for state in producer.state:
            renewed.fill(state)
        _draw_weights(layer, producer, renewed, WEIGHT_STREAM + number)
    for norm in context.norms:
        for own, value in ((norm.weight, 1), (norm.bias, 0), (norm.mean, 0), (norm.var, 1)):
            if own is not None:
                renewed.fill(own, value)
        for moment in norm.moments:
            returning.fill(moment)
    if context.step_counts and regrown.any():
        for count in context.step_counts:
            count.zero_()
    if "outgoing" in layer.tensors and context.consumers:
        renewed.fill(layer.tensors["outgoing"])
    layer.alive.logical_or_(regrown)
    for consumer in context.consumers:
        if consumer.feedback is not None:
            stays = torch.ones_like(consumer.feedback.weight)
            consumer.clear(renewed, stays)
            _draw_feedback(layer, consumer.feedback, stays)
    for producer in context.producers:
        if producer.feedback is not None:
            stays = torch.ones_like(producer.feedback.weight)
            renewed.fill(stays)
            _draw_feedback(layer, producer.feedback, stays)
    _reset_state(layer, returning)


def perturb(layer: LayerUnits) -> None:
    """Decay the weights that feed living units and add noise, as the rule says for this step, in place.

    `hebbevo.rules.units.rule.UnitRule.perturbation` has the details. The noise on a weight is a function of
    seed, step and its number in the whole layer, so it is the same in every stack.
    """
    context, numbers = layer.context, _unit_numbers(layer)
    asked = layer.rule.perturbation(layer.k, layer.s, layer)
    decay, shrinkage, noise = (each * layer.alive for each in asked)
    has_scale = any(norm.weight is not None for norm in context.norms)
    # values, the numbers of their entries, which entries are in, and whether they decay
    changed: list[tuple[Tensor | None, Tensor, Tensor | None, bool]] = []
    for producer in context.producers:
        number = _weight_numbers(producer, numbers)
        changed.append((producer.weight, number, _connected(producer, numbers), not has_scale))
        changed.append((producer.bias, numbers, None, not has_scale))
    for norm in context.norms:
        changed += [(norm.weight, numbers, None, True), (norm.bias, numbers, None, False)]
    for place, (values, index, is_in, decays) in enumerate(changed):
        if values is None:
            continue
        if decays:
            largest = _along(shrinkage, values)
            values.mul_(_along(1 - decay, values))
            values.sub_(values.clamp(-largest, largest))
        if layer.may_sync and not noise.any():
            continue
        seed, step = (_along(layer.tensors[name], index) for name in ("seed", "steps"))
        drawn = stateless_random.uniform_at(seed, step, index, NOISE_STREAM - place)
        precise = torch.promote_types(values.dtype, drawn.dtype)  # half precision would round some to 1
        added = normal(drawn.to(precise)).mul_(_along(noise, values))
        values.add_(added if is_in is None else added.mul_(is_in))


def normal(drawn: Tensor) -> Tensor:
    """Numbers of a normal distribution with mean 0 and variance 1, from uniform numbers in (0, 1)."""
    return (2 * drawn).sub_(1).erfinv_().mul_(math.sqrt(2))


def he_uniform(drawn: Tensor, fan_in: int) -> Tensor:
    """Weights of units with ``fan_in`` inputs, from uniform numbers in (0, 1).

    He et al., 2015, arXiv:1502.01852, equation 10: fan_in Var[w] / 2 = 1, here with a uniform distribution.
    """
    return (2 * drawn - 1) * math.sqrt(6 / fan_in)


def _share_targets(layers: Sequence[LayerUnits]) -> None:
    """Set the goal of every layer: its own target, or its part of a target for all hidden layers.

    The first hidden layer has the share ``target_share`` of a target for all, and the others have the rest in
    proportion to their sizes. Each has at least one unit, and at most all of its units; what is then left
    over goes to layers that can have it. Under a target for all, no input unit is pruned.
    """
    for layer in layers:
        layer.tensors["goal"].copy_(layer.tensors["target"].clamp(max=layer.size))
    hidden = [layer for layer in layers if not layer.inputs]
    if not hidden:
        return
    k = TensorNamespace(hidden[0].tensors)
    first, *others = (layer.size for layer in hidden)
    parts = [(k.target * k.target_share).round()]
    # rounding the running totals, in place of the parts, keeps their sum exact
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


def _find_regrown(layer: LayerUnits, event: Tensor) -> Tensor:
    """The units that are regrown at this event, (..., size) bool; counts events without a lower loss."""
    k, tensors = TensorNamespace(layer.tensors), layer.tensors
    out = ~layer.by_number(layer.alive)
    loss = layer.context.loss
    if loss is not None:
        lower = loss < tensors["best_loss"]
        tensors["best_loss"].copy_(torch.where(event & lower, loss, tensors["best_loss"]))
        tensors["stalled"].copy_(
            torch.where(event, torch.where(lower, 0, tensors["stalled"] + 1), tensors["stalled"])
        )
    if EventPart.REGROWTH in layer.skipped:
        return torch.zeros_like(out)
    has_stalled = tensors["stalled"] >= k.patience
    chance: Tensor = k.regrowth_rate + k.growth_rate * has_stalled
    drawn = layer.draw_all(REGROWTH_STREAM)
    regrown: Tensor = event.unsqueeze(-1) & out & (drawn < chance.unsqueeze(-1))
    grows = event & has_stalled & (k.grow > 0)
    rest = out & ~regrown
    regrown |= rest & (rest.cumsum(-1) <= (k.grow * grows).unsqueeze(-1))  # the first ones, by their numbers
    tensors["stalled"].masked_fill_(grows, 0)
    if EventPart.TARGETS not in layer.skipped:
        # a unit that is regrown at the last event would never be pruned again, so none is
        step, total = tensors["steps"], tensors["total_steps"]
        is_last = schedule.events_passed(k, step, total) >= k.events
        left = schedule.units_left(k, step, total, tensors["goal"], layer.size)
        most = torch.where(is_last, 0, left // 2).unsqueeze(-1)
        regrown &= ~schedule.uses_target(k).unsqueeze(-1) | (regrown.cumsum(-1) <= most)
    return regrown


def _find_pruned(layer: LayerUnits, event: Tensor, regrown: Tensor) -> Tensor:
    """The units that are pruned at this event, (..., n) bool.

    Args:
        layer: of the units.
        event: whether there is one, (...) bool.
        regrown: the units that are regrown at it, (..., size) bool.
    """
    k, alive = layer.k, layer.alive
    living = alive.sum(-1, keepdim=True)
    past_grace = layer.tensors["age"] >= k.grace
    cap = (k.max_deaths * living).floor().clamp(min=1) * (k.max_deaths > 0)
    allowed = torch.minimum(cap, (living - k.min_neurons).clamp(min=0))
    if EventPart.TARGETS not in layer.skipped:
        uses_target = schedule.uses_target(k)
        goal = layer.tensors["goal"].unsqueeze(-1)
        left = schedule.units_left(k, layer.step, layer.total, goal, layer.size)
        surplus = (living + regrown.sum(-1, keepdim=True) - left).clamp(min=0)
        allowed = torch.where(uses_target, surplus, allowed)
    most = int((allowed * event.unsqueeze(-1)).max()) if layer.may_sync else None
    score = layer.rule.score(k, layer.s, replace(layer, due=event, most=most))
    candidates = alive & past_grace & (score <= getattr(k, layer.rule.threshold))
    if EventPart.TARGETS not in layer.skipped:
        largest = torch.finfo(score.dtype).max
        # units past their grace are pruned before others, and scores before NaN
        ranked = score.masked_fill(~past_grace, largest).nan_to_num(largest, largest)
        score = torch.where(uses_target, ranked, score)
        candidates = torch.where(uses_target, alive, candidates)
    rank = layer.ranked(torch.where(candidates, score, torch.inf))
    pruned: Tensor = event.unsqueeze(-1) & candidates & (rank < allowed)
    return pruned


def _fold_into_biases(layer: LayerUnits, pruned: Tensor) -> None:
    """Fold the mean outputs of pruned units, (..., n) bool, into the biases of layers that read them."""
    k, tensors = layer.k, layer.tensors
    # the running mean began at zero, so it has this share of the true one (see `FoldedMean`)
    steps = torch.minimum(tensors["age"], tensors["steps"].unsqueeze(-1))
    share = 1 - (1 - FoldedMean.RATE) ** steps
    output = torch.where(pruned & k.handover, tensors["mean_output"] / share, 0)
    for consumer in layer.context.consumers:
        consumer.fold_into_bias(output)


def _zero_weights(layer: LayerUnits, units: Tensor, *, moments: bool) -> None:
    """Set the weights to and from units, (..., n) bool, to zero, and their optimiser moments if asked.

    Where something else uses the weights to their consumers, all weights stay.
    """
    if not layer.context.exclusive:
        return
    selection = layer.selection(units)
    for consumer in layer.context.consumers:
        _clear_weights(consumer, selection)
        for moment in consumer.moments if moments else ():
            consumer.clear(selection, moment)
    for producer in layer.context.producers:
        backward = producer.feedback.weight if producer.feedback else None
        own = producer.weight, producer.bias, producer.held, backward
        for values in (*own, *(producer.moments if moments else ())):
            if values is not None:
                selection.fill(values)


def _clear_weights(consumer: Consumer, selection: UnitSelection) -> None:
    """Set the weights that read the selected units to zero, in the copy of a mask too."""
    consumer.clear(selection, consumer.weight)
    if consumer.held is not None:
        consumer.clear(selection, consumer.held)
    if consumer.feedback is not None:
        consumer.clear(selection, consumer.feedback.weight)


def _draw_weights(layer: LayerUnits, producer: Producer, fresh: UnitSelection, stream: int) -> None:
    """Draw the incoming weights of selected units anew, where connections are in and from living inputs.

    A weight is a function of seed, step and its number in the whole layer, so it is the same in every stack.
    """
    weight, lead = producer.weight, fresh.units.dim()
    kernel = weight.shape[lead:]
    seed, step = layer.tensors["seed"], layer.tensors["steps"]
    numbers, inputs = _unit_numbers(layer), _input_numbers(producer, lead)
    ones, fan_in = (1,) * len(kernel), producer.fan_in or math.prod(kernel)
    living = _living_inputs(producer, lead)
    if producer.held is not None:
        fresh.fill(producer.held)
    if fresh.places is not None:  # draw for the selected units only
        networks = fresh.places[:-1]
        own = inputs if inputs.dim() == len(kernel) else inputs[networks]
        index = numbers[fresh.places].reshape(-1, *ones) * fan_in + own
        drawn = stateless_random.uniform_at(
            seed[networks].reshape(-1, *ones), step[networks].reshape(-1, *ones), index, stream
        )
        drawn = he_uniform(drawn, fan_in).to(weight.dtype)
        if producer.mask is not None:
            drawn = drawn * producer.mask[fresh.places]
        if living is not None:
            drawn = drawn * living[networks]
        if producer.fresh_norm is not None:
            drawn = _of_norm(drawn, producer.fresh_norm.expand(step.shape)[networks], 1)
        weight[fresh.places] = drawn
    else:  # draw for all units, as it is not known here which are selected
        index = _weight_numbers(producer, numbers)
        laid_seed, laid_step = (_along(each, index) for each in (seed, step))
        drawn = stateless_random.uniform_at(laid_seed, laid_step, index, stream)
        drawn = he_uniform(drawn, fan_in).to(weight.dtype)
        is_in = _connected(producer, numbers)
        if is_in is not None:
            drawn = drawn * is_in
        if producer.fresh_norm is not None:
            drawn = _of_norm(drawn, producer.fresh_norm.unsqueeze(-1), lead)
        weight.copy_(torch.where(_along(fresh.units, weight), drawn, weight))


def _of_norm(weight: Tensor, norm: Tensor, axes: int) -> Tensor:
    """Weights of units, (*axes, *kernel), with norms that are broadcast to (*axes); zeros stay zeros."""
    own = torch.linalg.vector_norm(weight.flatten(axes), dim=-1)
    factor: Tensor = (norm / own.masked_fill(own == 0, 1)).to(weight.dtype)
    return weight * _along(factor, weight)


def _draw_feedback(layer: LayerUnits, feedback: Feedback, stays: Tensor) -> None:
    """Draw the backward weights of a layer anew that do not stay, those to and from pruned units as zero.

    Args:
        layer: of units that the layer of the weights feeds or reads.
        feedback: the backward weights.
        stays: of their shape, 1 or 0.
    """
    weight, step = feedback.weight, layer.tensors["steps"]
    shape = weight.shape[step.dim() :]
    index = torch.arange(math.prod(shape), device=weight.device).reshape(shape)
    seed, step, bound = (_along(each, weight) for each in (feedback.seed, step, feedback.bound))
    drawn = (2 * stateless_random.uniform_at(seed, step, index, FEEDBACK_STREAM) - 1).to(weight.dtype) * bound
    if feedback.find_living is not None:
        drawn = drawn * feedback.find_living()
    weight.copy_(torch.where(stays > 0, weight, drawn))


def _unit_numbers(layer: LayerUnits) -> Tensor:
    """Which unit each slot holds, (..., n) int64."""
    if layer.numbers is not None:
        return layer.numbers
    return torch.arange(layer.size, device=layer.alive.device).expand(layer.alive.shape)


def _input_numbers(producer: Producer, lead: int) -> Tensor:
    """The number of each weight among those of its unit, (*kernel) or (..., *kernel)."""
    if producer.inputs is not None:
        return producer.inputs
    kernel = producer.weight.shape[lead:]
    return torch.arange(math.prod(kernel), device=producer.weight.device).reshape(kernel)


def _weight_numbers(producer: Producer, numbers: Tensor) -> Tensor:
    """The number of each weight in the whole layer, (..., n, *kernel) int32, from those of the units."""
    lead = numbers.dim()
    kernel, inputs = producer.weight.shape[lead:], _input_numbers(producer, lead)
    own = inputs if inputs.dim() == len(kernel) else inputs.unsqueeze(lead - 1)
    fan_in = producer.fan_in or math.prod(kernel)
    return _along(numbers.int(), producer.weight) * fan_in + own.int()


def _living_inputs(producer: Producer, lead: int) -> Tensor | None:
    """Which inputs come from living units, (..., inputs, *ones); ``None``: all, or not known.

    Pruned units have weights of zero, also to units that are regrown.
    """
    living = None if producer.living_inputs is None else producer.living_inputs()
    if living is None:
        return None
    return living.reshape(*living.shape, *(1,) * (producer.weight.dim() - lead - 1))


def _connected(producer: Producer, numbers: Tensor) -> Tensor | None:
    """Which weights are in and come from living inputs, (..., n or 1, *kernel) bool; ``None``: all."""
    lead = numbers.dim()
    living = _living_inputs(producer, lead)
    if living is None:
        return producer.mask
    living = living.unsqueeze(lead - 1)
    return living if producer.mask is None else producer.mask & living


def _along(values: Tensor, like: Tensor) -> Tensor:
    """Lay values, (...) or (..., n), along the first axes of another tensor."""
    return values.reshape(*values.shape, *(1,) * (like.dim() - values.dim()))


def _measure_outgoing(layer: LayerUnits, event: Tensor) -> None:
    """Measure the norms of the weights that read the units, at an event and if statistics need them."""
    wanted = "outgoing" in layer.tensors and EventPart.OUTGOING_NORMS not in layer.skipped
    if wanted and layer.context.consumers:
        kept = layer.tensors["outgoing"]
        kept.copy_(torch.where(event.unsqueeze(-1), layer.outgoing, kept))


def _reset_state(layer: LayerUnits, returning: UnitSelection) -> None:
    """Set the state of selected units to its start: their age, and all that was gathered of them."""
    returning.fill(layer.tensors["age"])
    for name, buffer in unit_buffers(layer.rule).items():
        values = layer.tensors[name]
        if isinstance(buffer.start, str):
            start = getattr(layer.k, buffer.start).to(values.dtype)
            values.copy_(torch.where(returning.units, start, values))
            continue
        returning.fill(values, buffer.start)
        if buffer.pairs:
            returning.fill(values.mT, buffer.start)
    for name, start in layer.rule.parameters.items():
        returning.fill(layer.tensors[name], start)
        for moment in layer.moments.get(name, ()):
            returning.fill(moment)


# --- connections ---


def prepare_connections(layers: Iterable[LayerConnections]) -> None:
    """Share out densities among layers, and take out what rules do not begin with, before the first step.

    Masks are changed in place where a network has not begun; `restore` sets weights to zero.
    """
    layers = [*layers]
    dense = [layer for layer in layers if "layer_density" in layer.knobs]
    shapes = [layer.weight.shape[-layer.axes :] for layer in dense]
    found = density.shares([TensorNamespace(layer.knobs) for layer in dense], shapes)
    for layer, share in zip(dense, found, strict=True):
        layer.knobs["layer_density"].copy_(share)
    for layer in layers:
        if not _says(layer.rule, "at_first"):
            continue
        all_in = {**layer.tensors, "connected": torch.ones_like(layer.mask)}
        first = layer.rule.at_first(layer.k, replace(layer, tensors=all_in))
        layer.mask.copy_(torch.where(layer.step == 0, first, layer.mask))


def restore(connections: LayerConnections) -> None:
    """Undo in place the changes of an optimiser to weights that were out, and note which are out now."""
    connected = connections.tensors["connected"]
    if connections.rule.keeps_weights:
        held, frozen = connections.tensors["held"], connections.tensors["frozen"]
        connections.weight.copy_(_undisturbed(connections))
        frozen.copy_(connected.logical_not())
        held.copy_(kept(connections.weight, bits_of(frozen, held)))
    else:
        keep_(connections.weight, bits_of(connected, connections.weight))


def rewire(connections: LayerConnections, event: Tensor, moments: Sequence[Tensor] = ()) -> None:
    """Let connections leave and enter where this is an ``event``, (...) bool, in place.

    Unless the rule keeps weights, a connection that leaves has weight zero. One that enters has the weight
    that the rule gives it, as has any that the rule sets back. The optimiser moments of both are zero.

    Args:
        connections: of one layer.
        event: see above.
        moments: optimiser state of the weights, each of their shape.
    """
    rule, before, weight = connections.rule, connections.mask, connections.weight
    k, s = connections.k, connections.s
    _count_stalled(connections, event)
    is_event = event.reshape(*event.shape, *(1,) * connections.axes)
    after = rule.wanted(k, s, replace(connections, weight=_undisturbed(connections)))
    if not (known_on_host(event) and event.all()):
        after = torch.where(is_event, after, before)
    if not rule.keeps_weights:
        unchanged = after & before
        if _says(rule, "restarts"):  # weights of zero are those of pruned units
            unchanged &= ~(is_event & rule.restarts(k, connections) & (weight != 0))
        start = rule.start(k, s, connections) if _says(rule, "start") else None
        for values in (weight, *moments):
            keep_(values, bits_of(unchanged, values))
        if start is not None:
            weight.copy_(torch.where(after & ~unchanged, start, weight))
    if rule.grows:
        connections.tensors["explored"].logical_or_(before).logical_or_(after)
        connections.tensors["grown"].logical_or_(after & ~before)
    for name in rule.sums:
        connections.tensors[name].masked_fill_(is_event, 0)
    before.copy_(after)


def _undisturbed(connections: LayerConnections) -> Tensor:
    """`LayerConnections.undisturbed` without a graph, which is faster."""
    if not connections.rule.keeps_weights:
        return connections.weight
    held = connections.tensors["held"]
    return chosen(bits_of(connections.tensors["frozen"], held), held, connections.weight)


def _says(rule: ConnectionRule, method: str) -> bool:
    """Whether a rule has a method of its own in place of that of all rules."""
    return getattr(type(rule), method) is not getattr(ConnectionRule, method)


def _count_stalled(connections: LayerConnections, event: Tensor) -> None:
    """Count the events in a row without a lower training loss, where a rule needs their number."""
    numbers, loss = connections.knobs, connections.mean_loss
    if "stalled" not in numbers or loss is None:
        return
    best, stalled, longest = (numbers[name] for name in ("best_loss", "stalled", "longest_stall"))
    lower = loss < best
    best.copy_(torch.where(event & lower, loss, best))
    stalled.copy_(torch.where(event, torch.where(lower, 0, stalled + 1), stalled))
    longest.copy_(longest.maximum(stalled))


# --- credit ---


def begin_with(parameters: Iterable[tuple[Tensor | None, Tensor | None]]) -> None:
    """Give weights and biases the values with which a credit rule begins, in place.

    Args:
        parameters: pairs of a parameter and its values, of one shape; ``None``: there is none.
    """
    for parameter, values in parameters:
        if parameter is not None and values is not None:
            parameter.copy_(values)


def add_updates(parameters: Iterable[tuple[Tensor | None, Tensor | None]]) -> None:
    """Add to weights and biases the updates that a credit rule gives, in place of the optimiser's step.

    Args:
        parameters: pairs of a parameter and its update, of one shape; ``None``: there is none.
    """
    with torch.no_grad():
        for parameter, change in parameters:
            if parameter is not None and change is not None:
                parameter.add_(change)
