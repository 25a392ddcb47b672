"""A stack of fully connected networks that computes no neuron that is out.

Forward and backward pass are written for all nets at once, where `torch.func.vmap` calls every operation
through Python. Layers hold slots for the living neurons only: a net has as many as the lowest of its `levels`
that its living neurons fit in, and nets of one level are one `Chain`. A neuron that returns takes the slot of
one that is out: it comes with fresh weights, so that nothing of it had to be kept.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import InputStamina, Stamina, counter
from hebbevo.nn.accounting import Stretch
from hebbevo.nn.paths import Plan, Survivors
from hebbevo.nn.stamina import BIRTH_STREAM, WEIGHT_STREAM, he
from hebbevo.training import capture
from hebbevo.training.links import INPUTS, Links
from hebbevo.training.stack import Called, Loss, Nets, described

Layers = list[tuple[Tensor, Tensor | None]]
"""Of every layer (size, inputs, outputs) and (size, 1, outputs)."""


class Chain(Nets):
    """Fully connected networks of one structure; some of their neurons may have no slot.

    Attributes:
        trained: all weights and biases of a net in a row, (size, p).
    """

    def __init__(
        self, links: Links, units: dict[int, Any], weights: Tensor, priors: dict[int, Tensor], plan: Plan
    ) -> None:
        self._plan = plan
        self._links = links
        self._units = units
        self._mortal = sorted(
            place for place, unit in units.items() if isinstance(unit, Stamina | InputStamina)
        )
        self._levels = links.levels([place for place in self._mortal if place != INPUTS])
        self._level = 0
        self._priors = priors
        self._ids = {place: _numbers(units[place].alive) for place in self._mortal}
        self._born: dict[int, Tensor] = {}
        self._inputs: list[Tensor] = []
        self._counts = True
        self._stretches: dict[int, Stretch] = {}
        self._hold(weights)

    @classmethod
    def of(cls, nets: Called, model: nn.Module, row: Tensor) -> Chain | None:
        """Make one of ``nets``, if they are chains; they must be connected by now.

        ``model`` is another net of the same structure, ``row`` an input, (1, *shape).
        """
        links = Links.of(model)
        if links is None:
            return None
        state = nets.state
        units = {
            place: _stacked(model.get_submodule(name), name, state) for place, name in links.units.items()
        }
        rows = [
            tensor.detach().flatten(1)
            for name, bias in zip(links.layers, links.bias, strict=True)
            for tensor in (state[f"{name}.weight"].mT, *([state[f"{name}.bias"]] if bias else []))
        ]
        priors = {
            place: unit.firing_prior
            for place, unit in units.items()
            if isinstance(unit, Stamina | InputStamina)
        }
        chain = cls(links, units, torch.cat(rows, 1), priors, Plan.of(model, row))
        chain.products = nets.products
        return chain

    def _hold(self, weights: Tensor) -> None:
        self.trained = {"weights": weights}
        self._returns = any(bool(self._may_return(place).any()) for place in self._mortal)
        self._stretches = {}
        self._layers = self._views(weights)
        self._gradient = torch.empty_like(weights)
        self._gradients = self._views(self._gradient)

    @property
    def _widths(self) -> tuple[int, ...]:
        return self._levels[self._level]

    def _views(self, row: Tensor) -> Layers:
        """Weights (size, inputs, outputs) and biases (size, 1, outputs) of every layer."""
        views: Layers = []
        start = 0
        for (inputs, outputs), bias in zip(pairwise(self._widths), self._links.bias, strict=True):
            end = start + inputs * outputs
            weight = row[:, start:end].view(-1, inputs, outputs)
            views.append((weight, row[:, None, end : end + outputs] if bias else None))
            start = end + outputs * bias
        return views

    # the passes

    def losses(self, loss_of: Loss, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `Nets.losses`."""
        with torch.no_grad():
            logits = self._forward(x, training=True)
            if loss_of is F.cross_entropy:
                losses, gradient = _cross_entropy(logits, y)
            else:
                losses, gradient = self._loss(loss_of, logits.mT.contiguous(), y)
            self._backward(gradient)
        return losses, [self._gradient]

    def _loss(self, loss_of: Loss, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Any loss of one net, and its gradient."""
        with torch.enable_grad():
            logits.requires_grad_()
            given = logits.clone()  # which a loss may change
            losses = vmap(loss_of, (0, None))(given, y) if self.size > 1 else loss_of(given[0], y)
        if not isinstance(losses, Tensor) or losses.dim() != (self.size > 1):
            raise ValueError(f"the loss of a minibatch {described(losses)}; return a tensor with one number")
        [gradient] = torch.autograd.grad(losses.sum(), logits)
        return losses.detach().reshape(-1), gradient.mT

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """See `Nets.outputs`."""
        return self._forward(x, training=False).mT

    def _forward(self, x: Tensor, training: bool) -> Tensor:
        """The logits, (size, classes, rows): a softmax over the last axis of few classes is slow."""
        h = self._pass(INPUTS, x.flatten(1).expand(self.size, -1, -1), training)
        layers = self._layers
        if training:
            self._inputs = []
            if self.products is not torch.float32:
                layers = self._views(self.trained["weights"].to(self.products))
            self._weights = [weight for weight, _ in layers]
        for place, (weight, bias) in enumerate(layers):
            if training:
                h = h.to(weight.dtype)
                self._inputs.append(h)
            if place == len(layers) - 1:
                h, weight = weight.mT, h.mT
                bias = None if bias is None else bias.mT
            h = torch.bmm(h, weight) if bias is None else torch.baddbmm(bias, h, weight)
            h = self._pass(place, h.to(self._layers[0][0].dtype), training)
        return h

    def _pass(self, place: int, h: Tensor, training: bool) -> Tensor:
        """Through the units behind a layer."""
        if place not in self._units:
            return h
        if place != INPUTS:
            h.clamp_(min=0)
        if place in self._mortal:
            unit = self._units[place]
            if place not in self._stretches:
                self._stretches[place] = Stretch(unit)
            stretch = self._stretches[place]
            mask = stretch.alive.unsqueeze(-2)
            h = h * mask if place == INPUTS else h.mul_(mask)
            if training and self._counts:
                stretch.add(h, h.abs() if place == INPUTS else h)
                unit.age.add_(1)
        if training and hasattr(self._units[place], "steps"):
            self._units[place].steps.add_(1)
        return h

    def _backward(self, gradient: Tensor) -> None:
        """From the gradient of the logits to that of everything."""
        gradient = gradient.mT
        for place in reversed(range(len(self._layers))):
            h, weight = self._inputs[place], self._weights[place]
            into, into_bias = self._gradients[place]
            if into_bias is not None:
                torch.sum(gradient, 1, keepdim=True, out=into_bias)
            gradient = gradient.to(h.dtype)
            if into.dtype == h.dtype:
                torch.bmm(h.mT, gradient, out=into)
            else:
                into.copy_(torch.bmm(h.mT, gradient))
            if place:
                gradient = torch.bmm(gradient, weight.mT)
                if place - 1 in self._units:  # all are rectifiers
                    gradient = torch.ops.aten.threshold_backward(gradient, h, 0)
                gradient = gradient.to(into.dtype)

    # life and death

    @torch.no_grad()
    def die(self, loss: Tensor, moments: Sequence[Tensor]) -> None:
        """Let neurons die, and find who is to return.

        ``loss``, (size,), is a running mean; ``moments``, (size, p), are the optimiser's.
        """
        views = [self._views(moment) for moment in moments]
        for place in self._mortal:
            unit, ids = self._units[place], self._ids[place]
            due = unit.due(unit.steps)
            dies, chance = unit.deaths(due), unit.chance(due, loss)
            weight, bias = self._layers[place + 1]
            if bias is not None:
                bias.add_(unit.gone(dies).unsqueeze(1) @ weight)
            width = self._links.widths[place + 1]
            out = torch.ones(self.size, width, dtype=torch.bool, device=ids.device)
            born = out.scatter_(1, ids, ~unit.alive) & due[:, None] & self._returns
            if self._returns:
                everyone = torch.arange(width, device=ids.device)
                draw = counter.at(unit.seed[:, None], unit.steps[:, None], everyone, BIRTH_STREAM)
                born &= draw < chance[:, None]
            self._born[place] = born
            self._vacate(place, dies & ~unit.keeps_weights[:, None], [self._layers, *views])
            norm = torch.linalg.vector_norm(weight, dim=2)
            unit.outgoing.copy_(torch.where(due[:, None], norm, unit.outgoing))
            unit.alive.logical_and_(~dies)

    @torch.no_grad()
    def fitting(self) -> Tensor:
        """The level that each net needs, (size,), by who lives and who is to return.

        Before `die` has found them, these are all who may.
        """
        device = self._gradient.device
        fits = torch.ones(self.size, len(self._levels), dtype=torch.bool, device=device)
        for place in self._mortal:
            if place != INPUTS:
                unit, width = self._units[place], self._links.widths[place + 1]
                need = unit.alive.sum(1)
                if place in self._born:
                    need += self._born[place].sum(1)
                elif self._counts:
                    need = torch.where(self._may_return(place), width, need)
                slots = torch.tensor([level[place + 1] for level in self._levels], device=device)
                fits &= need[:, None] <= slots
                fits[:, 1:] &= ~unit.keeps_weights[:, None]
        return fits.sum(1) - 1

    def _may_return(self, place: int) -> Tensor:
        unit = self._units[place]
        may: Tensor = (unit.regrowth_rate > 0) | (unit.growth_rate > 0)
        return may

    @torch.no_grad()
    def live(self, moments: Sequence[Tensor]) -> None:
        """Let those return whom `die` has found; ``moments``, (size, p), are the optimiser's."""
        views = [self._views(moment) for moment in moments]
        for place, born in self._born.items():
            unit = self._units[place]
            if self._returns and (capture.runs_ahead(born) or born.any()):
                if self._level:
                    self._take_slots(place, born)
                slots = born.gather(1, self._ids[place])
                fresh = slots & ~unit.keeps_weights[:, None]
                self._vacate(place, slots, views)
                self._vacate(place, fresh, [self._layers])
                if place != INPUTS:
                    self._draw(place, fresh)
                unit.outgoing.masked_fill_(fresh, 0)
                unit.alive.logical_or_(slots)
                unit.begin_anew(slots)
        self._born = {}
        for stretch in self._stretches.values():
            stretch.renew()

    def _take_slots(self, place: int, born: Tensor) -> None:
        """Give a slot of one that is out to each of the ``born``, (size, neurons), that has none."""
        ids, unit = self._ids[place], self._units[place]
        homeless = born.clone().scatter_(1, ids, False)
        most = int(homeless.sum(1).max())
        if not most:
            return
        taken = unit.alive | born.gather(1, ids)
        free = taken.long().argsort(dim=1, stable=True)[:, :most]
        newcomers = (~homeless).long().argsort(dim=1, stable=True)[:, :most]
        who = torch.where(homeless.gather(1, newcomers), newcomers, ids.gather(1, free))
        ids.scatter_(1, free, who)
        unit.firing_prior.copy_(self._priors[place].gather(1, ids))

    def _vacate(self, place: int, left: Tensor, layers: Sequence[Layers]) -> None:
        """Set to zero what ``layers`` have to and from slots, (size, slots) bool."""
        found = None if capture.runs_ahead(left) else left.nonzero(as_tuple=True)

        def empty(values: Tensor) -> None:  # (size, slots, ...)
            if found is None:
                values.masked_fill_(left.view(*left.shape, *(1,) * (values.dim() - 2)), 0)
            else:
                values[found] = 0

        for each in layers:
            empty(each[place + 1][0])
            if place != INPUTS:
                weight, bias = each[place]
                empty(weight.mT)
                if bias is not None:
                    empty(bias.squeeze(1))

    def _draw(self, place: int, fresh: Tensor) -> None:
        """Draw the weights to slots, (size, slots) bool, as they are drawn for whole layers."""
        unit, inputs, ids = self._units[place], self._links.widths[place], self._ids[place]
        weight = self._layers[place][0].mT
        feeding = self._ids.get(place - 1, torch.arange(inputs, device=ids.device).expand(len(ids), -1))

        def drawn(seed: Tensor, step: Tensor, ids: Tensor, feeding: Tensor) -> Tensor:
            places = ids.unsqueeze(-1) * inputs + feeding
            return he(counter.at(seed, step, places, WEIGHT_STREAM), inputs).to(weight.dtype)

        if capture.runs_ahead(fresh):
            every = drawn(
                unit.seed[:, None, None], unit.steps[:, None, None], ids.int(), feeding.int().unsqueeze(1)
            )
            weight.copy_(torch.where(fresh.unsqueeze(-1), every, weight))
        else:
            nets, slots = fresh.nonzero(as_tuple=True)
            weight[nets, slots] = drawn(
                unit.seed[nets, None], unit.steps[nets, None], ids[nets, slots], feeding[nets]
            )

    # coming and going

    def keep(self, rows: Tensor) -> None:
        """See `Nets.keep`."""
        self._choose(rows)
        self._hold(self.trained["weights"][rows])

    def _choose(self, rows: Tensor) -> None:
        for unit in self._units.values():
            unit._buffers.update({name: tensor[rows] for name, tensor in unit._buffers.items()})
        for kept in (self._priors, self._ids, self._born):
            kept.update({place: tensor[rows] for place, tensor in kept.items()})

    def at_level(self, level: int, rows: Tensor, moments: Sequence[Tensor]) -> tuple[Chain, list[Tensor]]:
        """The nets at ``rows`` with the slots of another level, and their ``moments``."""
        other = copy.copy(self)
        for name in ("_ids", "_born", "_priors"):
            setattr(other, name, dict(getattr(self, name)))
        other._units = {place: _bare(unit) for place, unit in self._units.items()}
        other._choose(rows)
        other._level = level
        slots = {
            place: other._resize(place, other._widths[place + 1]) for place in self._mortal if place != INPUTS
        }
        weights, *moments = (
            self._moved(tensor, rows, slots) for tensor in (self.trained["weights"], *moments)
        )
        other._hold(weights)
        return other, moments

    def _resize(self, place: int, slots: int) -> Tensor:
        """Have so many slots, the living first; gives which of the old ones they are, -1: new."""
        unit, ids = self._units[place], self._ids[place]
        before = ids.shape[1]
        chosen: Tensor
        if slots <= before:
            chosen = (~unit.alive).long().argsort(dim=1, stable=True)[:, :slots].sort(1).values
            self._ids[place] = ids.gather(1, chosen)
        else:
            housed = torch.zeros(len(ids), self._links.widths[place + 1], dtype=torch.long, device=ids.device)
            housed.scatter_(1, ids, 1)
            new = housed.argsort(dim=1, stable=True)[:, : slots - before]
            self._ids[place] = torch.cat([ids, new], 1)
            chosen = torch.cat([_numbers(ids), torch.full_like(new, -1)], 1)
        for name, tensor in unit._buffers.items():
            if tensor.dim() > 1:
                unit._buffers[name] = tensor.gather(1, chosen.clamp(min=0)).masked_fill(chosen < 0, 0)
        unit.firing_prior.copy_(self._priors[place].gather(1, self._ids[place]))
        return chosen

    def _moved(self, row: Tensor, rows: Tensor, slots: dict[int, Tensor]) -> Tensor:
        """Weights, or what else is laid out like them, in other slots."""
        parts = []
        for place, (weight, bias) in enumerate(self._views(row)):
            weight = weight[rows]
            for axis, chosen in ((1, slots.get(place - 1)), (2, slots.get(place))):
                if chosen is not None:
                    lying = chosen.unsqueeze(3 - axis)
                    shape = [*weight.shape]
                    shape[axis] = chosen.shape[1]
                    weight = weight.gather(axis, lying.clamp(min=0).expand(shape)).masked_fill(lying < 0, 0)
            parts.append(weight.flatten(1))
            if bias is not None:
                bias, chosen = bias[rows, 0], slots.get(place)
                if chosen is not None:
                    bias = bias.gather(1, chosen.clamp(min=0)).masked_fill(chosen < 0, 0)
                parts.append(bias)
        return torch.cat(parts, 1)

    @staticmethod
    def joined(chains: Sequence[Chain]) -> Chain:
        """Nets of one level as one chain."""
        first, *_ = chains
        if len(chains) > 1:
            for place, unit in first._units.items():
                for name in unit._buffers:
                    unit._buffers[name] = torch.cat([each._units[place]._buffers[name] for each in chains])
            for name in ("_ids", "_born", "_priors"):
                held = getattr(first, name)
                held.update(
                    {place: torch.cat([getattr(each, name)[place] for each in chains]) for place in held}
                )
            first._hold(torch.cat([each.trained["weights"] for each in chains]))
        return first

    # looking

    def rest(self) -> None:
        """See `Nets.rest`."""
        self._counts = False

    @property
    def slots(self) -> tuple[int, ...]:
        """Slots of each hidden layer."""
        return self._widths[1:-1]

    @property
    def level(self) -> int:
        """The lower, the fewer slots; 0: all have one."""
        return self._level

    def survivors(self, count: str) -> Survivors:
        """See `Nets.survivors`: who is on a path of weights that are not zero."""
        links = [(weight != 0).to(weight.dtype) for weight, _ in self._layers]
        reached = [self._masked(INPUTS, links[0].new_ones(self.size, links[0].shape[1]))]
        for place, link in enumerate(links):
            arrives = (reached[-1].unsqueeze(1) @ link).squeeze(1) > 0
            reached.append(self._masked(place, arrives.to(link.dtype)))
        heard = [torch.ones_like(reached[-1])]
        for place, link in reversed([*enumerate(links)]):
            leads_on = (link @ heard[0].unsqueeze(2)).squeeze(2) > 0
            heard.insert(0, self._masked(place - 1, leads_on.to(link.dtype)))
        inputs, *units = (a * b for a, b in zip(reached, heard, strict=True))
        if count == "neurons":
            alive = [each.sum(1) for each in units[:-1]]
        else:
            alive = [
                (a.unsqueeze(1) @ link @ b.unsqueeze(2)).flatten()
                for a, link, b in zip(reached, links, heard[1:], strict=False)
            ]
        layers, neurons = self._plan.counted(count)
        none = inputs.new_zeros(self.size, 0)
        totals = torch.stack(alive, 1) if alive else none
        return Survivors(layers, neurons, totals.round().long(), inputs.sum(1).long(), self._plan.notes)

    def _masked(self, place: int, pattern: Tensor) -> Tensor:
        return pattern * self._units[place].alive if place in self._mortal else pattern

    @property
    def state(self) -> dict[str, Tensor]:
        """See `Nets.state`; who has no slot has weights of zero, and statistics of none."""
        found = self.named([self.trained["weights"]])
        for place, name in self._links.units.items():
            for buffer, tensor in self._units[place]._buffers.items():
                found[f"{name}.{buffer}"] = self._spread(place, tensor) if tensor.dim() > 1 else tensor
            if place in self._priors:
                found[f"{name}.firing_prior"] = self._priors[place]
        return found

    def named(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """See `Nets.named`; who has no slot has zeros."""
        [row] = gradients
        found = {}
        for place, (name, (weight, bias)) in enumerate(
            zip(self._links.layers, self._views(row), strict=True)
        ):
            for axis, at in ((1, place - 1), (2, place)):
                if at in self._ids and at != INPUTS:
                    shape = [*weight.shape]
                    shape[axis] = self._links.widths[at + 1]
                    index = self._ids[at].unsqueeze(3 - axis).expand(weight.shape)
                    weight = weight.new_zeros(shape).scatter(axis, index, weight)
            found[f"{name}.weight"] = weight.mT
            if bias is not None:
                found[f"{name}.bias"] = self._spread(place, bias.squeeze(1))
        return found

    def _spread(self, place: int, values: Tensor) -> Tensor:
        if place not in self._ids or place == INPUTS:
            return values
        full = values.new_zeros(len(values), self._links.widths[place + 1])
        return full.scatter(1, self._ids[place], values)


def _cross_entropy(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropy of every net, (nets,), and its gradient, from logits (nets, classes, rows)."""
    logs = logits.log_softmax(1)
    classes = torch.arange(logits.shape[1], device=y.device)
    hot = (classes[:, None] == y).to(logs.dtype)  # `one_hot` looks at values
    losses = (logs * hot).sum((1, 2)).div_(-len(y))
    return losses, logs.exp_().sub_(hot).div_(len(y))


def _numbers(like: Tensor) -> Tensor:
    """0, 1, 2, ... along the last axis."""
    return torch.arange(like.shape[-1], device=like.device).expand(like.shape).contiguous()


def _stacked(module: nn.Module, name: str, state: Mapping[str, Tensor]) -> nn.Module:
    """A unit whose buffers are those of a stack."""
    unit = _bare(module)
    unit._buffers.update({key: state[f"{name}.{key}"].clone() for key in unit._buffers})
    return unit


def _bare(module: nn.Module) -> nn.Module:
    """The same module with a table of buffers of its own."""
    unit = copy.copy(module)
    unit._buffers = dict(module._buffers)
    return unit
