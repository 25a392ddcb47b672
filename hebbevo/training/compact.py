"""A stack of fully connected networks that computes no neuron that is out.

Forward and backward pass are written for all nets at once, where `torch.func.vmap` calls every operation
through Python. Layers hold slots for the living neurons only: a net has as many as the lowest of its `levels`
that its living neurons fit in, and nets of one level are one `CompactStack`. A neuron that returns takes the slot of
one that is out: it comes with fresh weights, so that nothing of it had to be kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import surgery
from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.layer_graph import INPUTS, Layout, layout
from hebbevo.nn.liveness.paths import Plan, Survivors
from hebbevo.nn.plastic import Named, number
from hebbevo.nn.statistics import KnownChoice, Window, gathered
from hebbevo.nn.surgery import Around, Connections, Feeder, Listener, Units
from hebbevo.nn.units import PlasticUnits
from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.rules.rule import Need
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import OLD, REBIRTHS, UnitRule
from hebbevo.rules.units.statistics import Minibatch
from hebbevo.training import cuda_graphs
from hebbevo.training.slots import levels
from hebbevo.training.stack import Loss, ModuleStack, NetStack, described

Layers = list[tuple[Tensor, Tensor | None]]
"""Of every layer (size, inputs, outputs) and (size, 1, outputs)."""


@dataclass
class _Units:
    """The units behind a layer, or those of the inputs: buffers (size,) or (size, slots) by name.

    Attributes:
        rule: ``None`` where they are never pruned.
        whole: knobs that differ from unit to unit, (size, units), those without a slot among them.
    """

    rule: UnitRule | None
    tensors: dict[str, Tensor]
    whole: dict[str, Tensor]


@dataclass
class _Mask:
    """The connections of a layer: knobs (size,), and by connection (size, inputs, outputs), by name."""

    rule: ConnectionRule
    knobs: dict[str, Tensor]
    tensors: dict[str, Tensor]


class CompactStack(NetStack):
    """Fully connected networks of one structure; some of their neurons may have no slot.

    Attributes:
        trained: all weights and biases of a net in a row, (size, p).
    """

    def __init__(
        self, links: Layout, units: dict[int, _Units], masks: dict[int, _Mask], weights: Tensor, plan: Plan
    ) -> None:
        self._plan = plan
        self._links = links
        self._units = units
        self._masks = masks
        self._prunable = sorted(place for place, each in units.items() if each.rule)
        self._levels = levels(links.widths, [place for place in self._prunable if place != INPUTS])
        self._level = 0
        self._ids = {place: _numbers(units[place].tensors["alive"]) for place in self._prunable}
        self._born: dict[int, Tensor] = {}
        self._inputs: list[Tensor] = []
        self._counts = True
        self._losses: dict[str, Tensor] = {}
        self._hold(weights)

    @classmethod
    def of(cls, nets: ModuleStack, model: nn.Module, row: Tensor) -> CompactStack | None:
        """Make one of ``nets``, if they are chains; they must be connected by now.

        ``model`` is another net of the same structure, ``row`` an input, (1, *shape).
        """
        links = layout(model)
        if links is None:
            return None
        state = nets.state

        def held(module: nn.Module, name: str) -> dict[str, Tensor]:
            return {key: state[f"{name}.{key}"].clone() for key in module._buffers}

        units, masks = {}, {}
        for place, name in links.units.items():
            module = model.get_submodule(name)
            pruned = isinstance(module, PlasticUnits) and module.rule.prunes
            rule = module.rule if isinstance(module, PlasticUnits) and pruned else None
            tensors = held(module, name)
            per_unit = [key for key, knob in rule.knobs.items() if knob.per_unit] if rule else []
            units[place] = _Units(rule, tensors, {key: tensors[key].clone() for key in per_unit})
        for place, name in links.masked.items():
            module = model.get_submodule(name)
            assert isinstance(module, PlasticConnections)
            own = held(module.connections[0], f"{name}.connections.0")
            laid = {key: tensor.mT.contiguous() for key, tensor in own.items()}
            masks[place] = _Mask(module.rule, held(module, name), laid)
        rows = [
            tensor.detach().flatten(1)
            for name, bias in zip(links.layers, links.bias, strict=True)
            for tensor in (state[f"{name}.weight"].mT, *([state[f"{name}.bias"]] if bias else []))
        ]
        chain = cls(links, units, masks, torch.cat(rows, 1), Plan.of(model, row))
        chain.products = nets.products
        return chain

    def _hold(self, weights: Tensor) -> None:
        self.trained = {"weights": weights}
        self._idle = {place: self._unwanted(place) for place in self._prunable}
        self._windows = {place: self._window(place) for place in self._prunable}
        self._alive = {place: self._living(place) for place in self._prunable}
        self._layers = self._views(weights)
        self._gradient = torch.empty_like(weights)
        self._gradients = self._views(self._gradient)

    def _unwanted(self, place: int) -> frozenset[str]:
        """What no network here wants of the engine (see `hebbevo.nn.surgery.Units`)."""
        tensors, rule = self._units[place].tensors, self._rule(place)
        wanted = {
            "returns": bool(self._may_return(place).any()),
            "folds": self._wanted(place, "handover", None),
            "targets": bool(schedule.by_target(Named(tensors)).any()),
            "outgoing": self._any_asks(rule, place, Need.OUTGOING),
        }
        return frozenset(what for what, any_wants in wanted.items() if not any_wants)

    def _any_asks(self, rule: UnitRule, place: int, need: Need) -> bool:
        askers = rule.all_needs().get(need)
        if askers is None:
            return False
        return not askers or any(self._wanted(place, each.knob, each.value) for each in askers)

    def _wanted(self, place: int, knob: str, value: object) -> bool:
        """Tell whether any network here has a knob at a value, or for ``None`` at anything but zero."""
        own = self._units[place].tensors[knob]
        if value is None:
            return bool((own != 0).any())
        return bool((own == number(self._rule(place).knobs[knob], value)).any())

    def _rule(self, place: int) -> UnitRule:
        rule = self._units[place].rule
        assert rule is not None
        return rule

    def _window(self, place: int) -> Window:
        rule, tensors = self._rule(place), self._units[place].tensors
        statistics = gathered(rule, partial(self._wanted, place))
        return Window(statistics, self._knobs(place), Named(tensors), KnownChoice)

    def _knobs(self, place: int) -> Named:
        return Named(self._units[place].tensors, 1, self._units[place].whole)

    def _living(self, place: int) -> Tensor:
        """1 for living units and 0 for others, (size, 1, slots)."""
        alive = self._units[place].tensors["alive"]
        return alive.to(self.trained["weights"].dtype).unsqueeze(-2)

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

    def _connections(self, place: int, sums: Mapping[str, Tensor] | None = None) -> Connections:
        """The connections of a layer as the engine sees them."""
        mask = self._masks[place]
        return Connections(
            mask.rule,
            mask.knobs,
            {name: tensor.mT for name, tensor in mask.tensors.items()},
            self._layers[place][0].mT,
            self._links.widths[place] * self._links.widths[place + 1],
            partial(self._numbers, place),
            sums or {},
            self._losses.get("mean"),
        )

    def _alive_before(self, place: int) -> Callable[[], Tensor] | None:
        """What gives which inputs of a layer come from living units, (size, slots) bool."""
        tensors = self._units[place - 1].tensors if place - 1 in self._prunable else None
        return None if tensors is None else partial(tensors.__getitem__, "alive")

    def _numbers(self, place: int) -> Tensor:
        """Which connection each entry of a layer is, (size, outputs, inputs)."""
        inputs = self._links.widths[place]
        return self._numbered(place).unsqueeze(-1) * inputs + self._numbered(place - 1).unsqueeze(-2)

    def _numbered(self, place: int) -> Tensor:
        """Which unit each slot holds, (size, slots)."""
        numbers = torch.arange(self._links.widths[place + 1], device=self._gradient.device)
        return self._ids.get(place, numbers.expand(self.size, -1))

    def _layer(self, place: int, loss: Tensor | None, moments: Sequence[Layers]) -> Units:
        """Units as the engine sees them; ``moments`` are the optimiser's, laid out like layers."""
        look = not cuda_graphs.runs_ahead(self._gradient)

        def held(at: int, name: str) -> Tensor | None:
            return (
                self._masks[at].tensors[name].mT
                if at in self._masks and name in self._masks[at].tensors
                else None
            )

        weight, bias = self._layers[place + 1]
        listener = Listener(
            weight.mT,
            None if bias is None else bias.squeeze(1),
            tuple(each[place + 1][0].mT for each in moments),
            held=held(place + 1, "held"),
            mask=held(place + 1, "connected"),
        )
        feeders = []
        if place != INPUTS:
            weight, bias = self._layers[place]
            of_biases = [each[place][1] for each in moments]
            feeders.append(
                Feeder(
                    weight.mT,
                    None if bias is None else bias.squeeze(1),
                    (
                        *(each[place][0].mT for each in moments),
                        *(each.squeeze(1) for each in of_biases if each is not None),
                    ),
                    held(place, "connected"),
                    held(place, "held"),
                    self._links.widths[place],
                    self._numbered(place - 1),
                    self._alive_before(place),
                )
            )
        units = self._units[place]
        return Units(
            self._rule(place),
            units.tensors,
            Around(tuple(feeders), (), (listener,), True, loss),
            self._links.widths[place + 1],
            self._ids[place],
            place == INPUTS,
            look,
            self._idle[place],
        )

    # the passes

    def losses(self, loss_of: Loss, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `NetStack.losses`."""
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
        """See `NetStack.outputs`."""
        return self._forward(x, training=False).mT

    def _forward(self, x: Tensor, training: bool) -> Tensor:
        """The logits, (size, classes, rows): a softmax over the last axis of few classes is slow."""
        h = self._pass(INPUTS, x.flatten(1).expand(self.size, -1, -1), training)
        weights = [self._masked_weight(place, training) for place in range(len(self._layers))]
        biases = [bias for _, bias in self._layers]
        if training:
            self._inputs = []
            if self.products is not torch.float32:
                weights = [weight.to(self.products) for weight in weights]
                biases = [None if bias is None else bias.to(self.products) for bias in biases]
            self._weights = weights
        for place, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if training:
                h = h.to(weight.dtype)
                self._inputs.append(h)
            if place == len(weights) - 1:
                h, weight = weight.mT, h.mT
                bias = None if bias is None else bias.mT
            h = torch.bmm(h, weight) if bias is None else torch.baddbmm(bias, h, weight)
            h = h.to(self._layers[0][0].dtype)
            if training and place in self._masks:
                self._see(place, h.mT if place == len(weights) - 1 else h)
            h = self._pass(place, h, training)
        return h

    def _masked_weight(self, place: int, training: bool) -> Tensor:
        """The weights of a layer, zero where a connection is out."""
        weight = self._layers[place][0]
        if place not in self._masks or not self._masks[place].rule.keeps_weights:
            return weight  # what is out is zero, for neither gradients nor moments reach it
        connections = self._connections(place)
        if training:
            connections.restore()
        return torch.where(self._masks[place].tensors["connected"], connections.undisturbed().mT, 0)

    def _see(self, place: int, y: Tensor) -> None:
        """Let a connection rule see inputs and outputs of its layer, (size, rows, units)."""
        mask = self._masks[place]
        mask.knobs["steps"].add_(1)
        if self._counts:
            x = self._inputs[place].to(y.dtype)
            x, y = mask.rule.signals(Named(mask.knobs, 2), x, y)
            pairs: dict[Need, Callable[[], Tensor]] = {
                Need.COACTIVATION: lambda: y.mT @ x,
                Need.INPUT_MEAN: lambda: x.sum(-2).unsqueeze(-2),
                Need.OUTPUT_MEAN: lambda: y.sum(-2).unsqueeze(-1),
                Need.INPUT_SQUARE: lambda: x.square().sum(-2).unsqueeze(-2),
                Need.OUTPUT_SQUARE: lambda: y.square().sum(-2).unsqueeze(-1),
            }
            needs = mask.rule.all_needs()
            sums = {need.name.lower(): pair() / y.shape[-2] for need, pair in pairs.items() if need in needs}
            link = self._connections(place, sums)
            mask.rule.observe(link.k, link.s, link)

    def _pass(self, place: int, h: Tensor, training: bool) -> Tensor:
        """Through the units behind a layer."""
        if place not in self._units:
            return h
        if place != INPUTS:
            h.clamp_(min=0)
        tensors = self._units[place].tensors
        if place in self._prunable:
            mask = self._alive[place]
            h = h * mask if place == INPUTS else h.mul_(mask)
            if training and self._counts:
                self._windows[place].add(Minibatch(h, h.abs() if place == INPUTS else h))
                tensors["age"].add_(1)
        if training and "steps" in tensors:
            tensors["steps"].add_(1)
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
            if place in self._masks:
                tensors = self._masks[place].tensors
                if "gradient" in tensors:
                    tensors["gradient"].copy_(into)
                into.masked_fill_(~tensors["connected"], 0)
            if place:
                gradient = torch.bmm(gradient, weight.mT)
                if place - 1 in self._units:  # all are rectifiers
                    gradient = torch.ops.aten.threshold_backward(gradient, h, 0)
                gradient = gradient.to(into.dtype)

    # pruning and regrowing

    @torch.no_grad()
    def prune(self, loss: Tensor, moments: Sequence[Tensor]) -> None:
        """Prune units that are due, and find those that are to return.

        ``loss``, (size,), is a running mean; ``moments``, (size, p), are the optimiser's.
        """
        self._losses["mean"] = loss
        views = [self._views(moment) for moment in moments]
        for place in self._prunable:
            layer = self._layer(place, loss, views)
            due = self._due(layer.rule, layer.tensors)
            if due is None:
                none = torch.zeros((), dtype=torch.bool, device=self._gradient.device)
                self._born[place] = none.expand(self.size, self._links.widths[place + 1])
            else:
                self._born[place] = surgery.prune(layer, due)

    def _due(self, rule: UnitRule | ConnectionRule, knobs: Mapping[str, Tensor]) -> Tensor | None:
        """Which networks have an event now, (size,); ``None``: it is known that none has."""
        due = rule.is_event(Named(knobs), knobs["steps"], knobs["total_steps"])
        return due if cuda_graphs.runs_ahead(due) or due.any() else None

    @torch.no_grad()
    def fitting(self) -> Tensor:
        """The level that each net needs, (size,), by how many units live and how many are to return.

        Before `prune` has found those, they are all that may.
        """
        device = self._gradient.device
        fits = torch.ones(self.size, len(self._levels), dtype=torch.bool, device=device)
        for place in self._prunable:
            if place != INPUTS:
                tensors, width = self._units[place].tensors, self._links.widths[place + 1]
                need = tensors["alive"].sum(1)
                if place in self._born:
                    need += self._born[place].sum(1)
                elif self._counts:
                    need = torch.where(self._may_return(place), width, need)
                slots = torch.tensor([level[place + 1] for level in self._levels], device=device)
                fits &= need[:, None] <= slots
                stays = tensors["rebirth"] == REBIRTHS.index(OLD)
                if self._masks:  # what a mask knows of a connection goes with its slots
                    stays = stays | self._may_return(place)
                    stays = stays | any(mask.rule.grows for mask in self._masks.values())
                fits[:, 1:] &= ~stays[:, None]
        return fits.sum(1) - 1

    def _may_return(self, place: int) -> Tensor:
        tensors = self._units[place].tensors
        may: Tensor = (tensors["regrowth_rate"] > 0) | (tensors["growth_rate"] > 0)
        return may

    @torch.no_grad()
    def regrow(self, moments: Sequence[Tensor]) -> None:
        """Let those units return that `prune` has found; then let connections leave and enter.

        ``moments``, (size, p), are the optimiser's.
        """
        views = [self._views(moment) for moment in moments]
        for place, born in self._born.items():
            if "returns" not in self._idle[place] and (cuda_graphs.runs_ahead(born) or born.any()):
                if self._level:
                    self._take_slots(place, born)
                layer = self._layer(place, None, views)
                surgery.regrow(layer, born.gather(1, self._ids[place]))
        self._born = {}
        for place, mask in self._masks.items():
            if (due := self._due(mask.rule, mask.knobs)) is not None:
                surgery.rewire(self._connections(place), due, [each[place][0].mT for each in views])
        for place, window in self._windows.items():
            window.renew()
            self._alive[place].copy_(self._living(place))

    def _take_slots(self, place: int, born: Tensor) -> None:
        """Give a slot of a pruned unit to each of the ``born``, (size, units), that has none."""
        ids, units = self._ids[place], self._units[place]
        unplaced = born.clone().scatter_(1, ids, False)
        most = int(unplaced.sum(1).max())
        if not most:
            return
        taken = units.tensors["alive"] | born.gather(1, ids)
        free = taken.long().argsort(dim=1, stable=True)[:, :most]
        returning = (~unplaced).long().argsort(dim=1, stable=True)[:, :most]
        moved = torch.where(unplaced.gather(1, returning), returning, ids.gather(1, free))
        ids.scatter_(1, free, moved)
        self._take_own_knobs(place)

    def _take_own_knobs(self, place: int) -> None:
        """Give every slot the knobs of its unit, where those may differ from unit to unit."""
        units = self._units[place]
        for name, whole in units.whole.items():
            units.tensors[name] = whole.gather(1, self._ids[place])

    # coming and going

    def keep(self, rows: Tensor) -> None:
        """See `NetStack.keep`."""
        self._choose(rows)
        self._hold(self.trained["weights"][rows])

    def _tables(self) -> list[dict[Any, Tensor]]:
        """All tensors with a first axis of networks but the weights, in a fixed order."""
        units = [table for each in self._units.values() for table in (each.tensors, each.whole)]
        masks = [table for each in self._masks.values() for table in (each.knobs, each.tensors)]
        return [*units, *masks, self._ids, self._born, self._losses]

    def _choose(self, rows: Tensor) -> None:
        for table in self._tables():
            table.update({key: tensor[rows] for key, tensor in table.items()})

    def at_level(
        self, level: int, rows: Tensor, moments: Sequence[Tensor]
    ) -> tuple[CompactStack, list[Tensor]]:
        """The nets at ``rows`` with the slots of another level, and their ``moments``."""
        other = copy.copy(self)
        other._ids, other._born, other._losses = dict(self._ids), dict(self._born), dict(self._losses)
        other._units = {
            place: replace(each, tensors=dict(each.tensors), whole=dict(each.whole))
            for place, each in self._units.items()
        }
        other._masks = {
            place: replace(each, knobs=dict(each.knobs), tensors=dict(each.tensors))
            for place, each in self._masks.items()
        }
        other._choose(rows)
        other._level = level
        slots = {
            place: other._resize(place, other._widths[place + 1])
            for place in self._prunable
            if place != INPUTS
        }
        for place, mask in other._masks.items():
            mask.tensors.update(
                {name: _in_slots(tensor, place, slots) for name, tensor in mask.tensors.items()}
            )
        weights, *moments = (
            self._moved(tensor, rows, slots) for tensor in (self.trained["weights"], *moments)
        )
        other._hold(weights)
        return other, moments

    def _resize(self, place: int, slots: int) -> Tensor:
        """Have so many slots, the living first; gives which of the old ones they are, -1: new."""
        units, ids = self._units[place], self._ids[place]
        before = ids.shape[1]
        chosen: Tensor
        if slots <= before:
            chosen = (~units.tensors["alive"]).long().argsort(dim=1, stable=True)[:, :slots].sort(1).values
            self._ids[place] = ids.gather(1, chosen)
        else:
            housed = torch.zeros(len(ids), self._links.widths[place + 1], dtype=torch.long, device=ids.device)
            housed.scatter_(1, ids, 1)
            new = housed.argsort(dim=1, stable=True)[:, : slots - before]
            self._ids[place] = torch.cat([ids, new], 1)
            chosen = torch.cat([_numbers(ids), torch.full_like(new, -1)], 1)
        for name, tensor in units.tensors.items():
            for axis in range(1, tensor.dim() if name not in units.whole else 0):
                tensor = _chosen_along(tensor, axis, chosen)
            units.tensors[name] = tensor
        self._take_own_knobs(place)
        return chosen

    def _moved(self, row: Tensor, rows: Tensor, slots: dict[int, Tensor]) -> Tensor:
        """Weights, or what else is laid out like them, in other slots."""
        parts = []
        for place, (weight, bias) in enumerate(self._views(row)):
            parts.append(_in_slots(weight[rows], place, slots).flatten(1))
            if bias is not None:
                bias, chosen = bias[rows, 0], slots.get(place)
                parts.append(bias if chosen is None else _chosen_along(bias, 1, chosen))
        return torch.cat(parts, 1)

    @staticmethod
    def joined(chains: Sequence[CompactStack]) -> CompactStack:
        """Nets of one level as one chain."""
        first, *_ = chains
        if len(chains) > 1:
            for table, *others in zip(*(chain._tables() for chain in chains), strict=True):
                table.update(
                    {key: torch.cat([own, *(each[key] for each in others)]) for key, own in table.items()}
                )
            first._hold(torch.cat([each.trained["weights"] for each in chains]))
        return first

    # looking

    def rest(self) -> None:
        """See `NetStack.rest`."""
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
        """See `NetStack.survivors`: units on a path of weights that are not zero."""
        weights = [self._masked_weight(place, training=False) for place in range(len(self._layers))]
        links = [(weight != 0).to(weight.dtype) for weight in weights]
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
        return pattern * self._units[place].tensors["alive"] if place in self._prunable else pattern

    @property
    def state(self) -> dict[str, Tensor]:
        """See `NetStack.state`; what has no slot has weights of zero, and statistics of none."""
        found = self.named([self.trained["weights"]])
        for place, name in self._links.units.items():
            units = self._units[place]
            for buffer, tensor in {**units.tensors, **units.whole}.items():
                for axis in range(1, tensor.dim() if buffer not in units.whole else 0):
                    tensor = self._spread(place, tensor, axis)
                found[f"{name}.{buffer}"] = tensor
        for place, name in self._links.masked.items():
            mask = self._masks[place]
            found |= {f"{name}.{knob}": tensor for knob, tensor in mask.knobs.items()}
            found |= {
                f"{name}.connections.0.{key}": self._whole(place, tensor).mT
                for key, tensor in mask.tensors.items()
            }
        return found

    def named(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """See `NetStack.named`; what has no slot has zeros."""
        [row] = gradients
        found = {}
        for place, (name, (weight, bias)) in enumerate(
            zip(self._links.layers, self._views(row), strict=True)
        ):
            found[f"{name}.weight"] = self._whole(place, weight).mT
            if bias is not None:
                found[f"{name}.bias"] = self._spread(place, bias.squeeze(1), 1)
        return found

    def _whole(self, place: int, values: Tensor) -> Tensor:
        """What every connection of a layer has, (size, inputs, outputs), from those between slots."""
        return self._spread(place, self._spread(place - 1, values, 1), 2)

    def _spread(self, place: int, values: Tensor, axis: int) -> Tensor:
        """What every unit has, along an axis, from those that have slots."""
        if place not in self._ids or place == INPUTS:
            return values
        shape = [*values.shape]
        shape[axis] = self._links.widths[place + 1]
        ids = self._ids[place].reshape(
            len(values), *(-1 if each == axis else 1 for each in range(1, values.dim()))
        )
        return values.new_zeros(shape).scatter(axis, ids.expand(values.shape), values)


def _in_slots(values: Tensor, place: int, slots: Mapping[int, Tensor]) -> Tensor:
    """What is laid out like the weights of a layer, (size, inputs, outputs), in other slots."""
    for axis, chosen in ((1, slots.get(place - 1)), (2, slots.get(place))):
        if chosen is not None:
            values = _chosen_along(values, axis, chosen)
    return values


def _chosen_along(values: Tensor, axis: int, chosen: Tensor) -> Tensor:
    """The entries ``chosen``, (size, slots), along an axis; -1: zeros."""
    lying = chosen.reshape(len(chosen), *(-1 if each == axis else 1 for each in range(1, values.dim())))
    shape = [*values.shape]
    shape[axis] = chosen.shape[1]
    if shape[axis] <= values.shape[axis]:  # all of them were there
        return values.gather(axis, lying.expand(shape))
    return values.gather(axis, lying.clamp(min=0).expand(shape)).masked_fill(lying < 0, 0)


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
