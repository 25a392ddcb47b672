"""A stack of fully connected nets that computes no pruned neurons.

The forward and backward pass are written for all nets at once, where `torch.func.vmap` calls every operation
through Python. Each hidden layer has slots, which hold all living neurons and some of the pruned ones. A net
has the smallest of the `levels` into which its living neurons fit, and all nets of a `CompactStack` have the
same level. A neuron that is regrown takes the slot of a pruned one. It starts with fresh weights, so the
weights of a neuron without a slot need not be kept.

Hidden layers are numbered by their index, from 0; the index `INPUTS`, -1, stands for the inputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from hebbevo.nn import plastic, surgery
from hebbevo.nn.bit_masks import bits_of, joined, keep_, kept
from hebbevo.nn.connection_sums import OF_INPUTS, OF_OUTPUTS, add_means_of_rows
from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.layer_connections import LayerConnections, of_parameter
from hebbevo.nn.layer_context import Consumer, LayerContext, Producer, between_living
from hebbevo.nn.layer_units import EventPart, LayerUnits
from hebbevo.nn.liveness.paths import LivenessPlan, Survivors
from hebbevo.nn.mlp_layout import INPUTS, MlpLayout, mlp_layout
from hebbevo.nn.plastic import TensorNamespace, encoded
from hebbevo.nn.statistics import LazySelector, StatisticsWindow, observe_gates, statistics_for
from hebbevo.nn.units import PlasticUnits, plastic_units
from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.rules.rule import Need
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import OLD, REBIRTHS, UnitRule
from hebbevo.rules.units.statistics import Minibatch
from hebbevo.training.losses import BuiltInLoss
from hebbevo.training.slots import levels
from hebbevo.training.stack import Loss, ModuleStack, NetStack, described

_FEW_CONNECTIONS = 2**18  # 1 MiB of weights, which a cache holds

LayerParameters = list[tuple[Tensor, Tensor | None]]
"""Weights (size, inputs, outputs) and biases (size, 1, outputs) of every layer."""


@dataclass
class _UnitState:
    """The units of one layer.

    Attributes:
        rule: the rule that prunes them; ``None`` where they are never pruned.
        tensors: knobs and buffers by name, (size,) or (size, slots).
        per_unit: knobs that differ from unit to unit, (size, units), also of units without a slot.
    """

    rule: UnitRule | None
    tensors: dict[str, Tensor]
    per_unit: dict[str, Tensor]


@dataclass
class _ConnectionState:
    """The masked connections of one layer.

    Attributes:
        rule: the rule that masks them.
        knobs: knobs by name, (size,).
        tensors: buffers by name, (size, inputs, outputs), or broadcast to it.
    """

    rule: ConnectionRule
    knobs: dict[str, Tensor]
    tensors: dict[str, Tensor]

    def lay_out_sums(self) -> None:
        """Keep sums in the form that is fastest to add to.

        One of products is (size, outputs, inputs) in memory. One that all outputs or all inputs share has the
        size 1 along that axis.
        """
        for name, need in self.rule.sums.items():
            total = self.tensors[name].mT
            if need in OF_INPUTS:
                total = total[:, :1]
            elif need in OF_OUTPUTS:
                total = total[:, :, :1]
            self.tensors[name] = total.contiguous().mT


class CompactStack(NetStack):
    """Fully connected nets of one structure, of whose hidden neurons some may have no slot.

    Attributes:
        trained: under ``weights``, all weights and biases of each net in a row, (size, p).
    """

    def __init__(
        self,
        layout: MlpLayout,
        units: dict[int, _UnitState],
        connections: dict[int, _ConnectionState],
        weights: Tensor,
        plan: LivenessPlan,
    ) -> None:
        self._plan = plan
        self._layout = layout
        self._units = units
        self._connections = connections
        self._prunable = sorted(index for index, each in units.items() if each.rule)
        hidden = [index for index in self._prunable if index != INPUTS]
        self._levels = levels(layout.widths, hidden)
        self._level = 0
        # the number of the unit in each slot, (size, slots)
        self._slot_units = {index: _positions(units[index].tensors["alive"]) for index in self._prunable}
        self._regrown: dict[int, Tensor] = {}  # units that `prune` has chosen to return, (size, units)
        self._layer_inputs: list[Tensor] = []
        self._gathers_statistics = True
        self._mean_loss: dict[str, Tensor] = {}
        self._set_weights(weights)

    @classmethod
    def of(cls, nets: ModuleStack, model: nn.Module, row: Tensor) -> CompactStack | None:
        """Make a compact stack of ``nets`` if they are plain fully connected nets.

        Args:
            nets: nets whose wiring is connected.
            model: another net of the same structure.
            row: an input, (1, *shape).

        Returns:
            The stack, with copies of all tensors, or ``None`` for other nets.
        """
        layout = mlp_layout(model)
        if layout is None or any(units.rule.parameters for units in plastic_units(model).values()):
            return None
        state = nets.state

        def buffers(module: nn.Module, name: str) -> dict[str, Tensor]:
            return {key: state[f"{name}.{key}"].clone() for key in module._buffers}

        units, connections = {}, {}
        for index, name in layout.units.items():
            module = model.get_submodule(name)
            prunable = isinstance(module, PlasticUnits) and module.rule.prunes
            rule = module.rule if isinstance(module, PlasticUnits) and prunable else None
            tensors = buffers(module, name)
            per_unit = [key for key, knob in rule.knobs.items() if knob.per_unit] if rule else []
            units[index] = _UnitState(rule, tensors, {key: tensors[key].clone() for key in per_unit})
        for index, name in layout.masked.items():
            module = model.get_submodule(name)
            assert isinstance(module, PlasticConnections)
            own = buffers(module.connections[0], f"{name}.connections.0")
            transposed = {key: tensor.mT.contiguous() for key, tensor in own.items()}
            connections[index] = _ConnectionState(module.rule, buffers(module, name), transposed)
        rows = [
            tensor.detach().flatten(1)
            for name, bias in zip(layout.layers, layout.bias, strict=True)
            for tensor in (state[f"{name}.weight"].mT, *([state[f"{name}.bias"]] if bias else []))
        ]
        stack = cls(layout, units, connections, torch.cat(rows, 1), LivenessPlan.of(model, row))
        stack.matmul_dtype = nets.matmul_dtype
        return stack

    def _set_weights(self, weights: Tensor) -> None:
        """Train these weights, (size, p), and make everything anew that depends on the nets and slots."""
        self.trained = {"weights": weights}
        self._skipped = {index: self._skipped_parts(index) for index in self._prunable}
        self._windows = {index: self._statistics_window(index) for index in self._prunable}
        self._alive = {index: self._alive_mask(index) for index in self._prunable}
        self._parameters = self._by_layer(weights)
        for each in self._connections.values():
            each.lay_out_sums()
        self._bits = {index: self._connected_bits(index) for index in self._connections}
        # layers whose masks may have changed since the last step
        self._rewired = {*self._connections}
        # written in place at every step: a CUDA graph and the optimiser see the same memory
        self._gradient = torch.empty_like(weights)
        self._gradients = self._by_layer(self._gradient)

    def _skipped_parts(self, index: int) -> frozenset[EventPart]:
        """The parts of an event that no net here needs."""
        rule, tensors = self._rule(index), self._units[index].tensors
        users = rule.all_needs().get(Need.OUTGOING)  # without any, the rule itself needs it
        needs_outgoing = users is not None and (
            not users or any(self._any_net_has(index, each.knob, each.value) for each in users)
        )
        needed = {
            EventPart.REGROWTH: bool(self._can_return(index).any()),
            EventPart.FOLDING: self._any_net_has(index, "handover", None),
            EventPart.TARGETS: bool(schedule.uses_target(TensorNamespace(tensors)).any()),
            EventPart.OUTGOING_NORMS: needs_outgoing,
        }
        return frozenset(part for part, is_needed in needed.items() if not is_needed)

    def _any_net_has(self, index: int, knob: str, value: object) -> bool:
        """Whether a knob has this value in any net here, or for ``None`` any value but zero."""
        own = self._units[index].tensors[knob]
        if value is None:
            return bool((own != 0).any())
        return bool((own == encoded(self._rule(index).knobs[knob], value)).any())

    def _rule(self, index: int) -> UnitRule:
        rule = self._units[index].rule
        assert rule is not None
        return rule

    def _statistics_window(self, index: int) -> StatisticsWindow:
        """What gathers the statistics of a layer's units between two events."""
        rule, units = self._rule(index), self._units[index]
        statistics = statistics_for(rule, partial(self._any_net_has, index))
        k, s = TensorNamespace(units.tensors, 1, units.per_unit), TensorNamespace(units.tensors)
        return StatisticsWindow(statistics, k, s, LazySelector)

    def _alive_mask(self, index: int) -> Tensor:
        """1 for living units and 0 for pruned ones, (size, 1, slots)."""
        alive = self._units[index].tensors["alive"]
        return alive.to(self.trained["weights"].dtype).unsqueeze(-2)

    def _connected_bits(self, index: int) -> Tensor:
        """Which connections of a layer are in, (size, inputs, outputs), as `hebbevo.nn.bit_masks` has it."""
        return bits_of(self._connections[index].tensors["connected"], self.trained["weights"])

    @property
    def _widths(self) -> tuple[int, ...]:
        """Number of inputs, of slots of each hidden layer, and of outputs."""
        return self._levels[self._level]

    def _by_layer(self, rows: Tensor) -> LayerParameters:
        """Views of ``rows``, (size, p), which are laid out like ``weights``."""
        views: LayerParameters = []
        start = 0
        for (inputs, outputs), bias in zip(pairwise(self._widths), self._layout.bias, strict=True):
            end = start + inputs * outputs
            weight = rows[:, start:end].view(-1, inputs, outputs)
            views.append((weight, rows[:, None, end : end + outputs] if bias else None))
            start = end + outputs * bias
        return views

    # --- layers as `hebbevo.nn.surgery` takes them, where weights are (..., outputs, inputs) ---

    def _layer_connections(self, index: int) -> LayerConnections:
        """The masked connections of a layer."""
        connections = self._connections[index]
        return LayerConnections(
            connections.rule,
            of_parameter(connections.knobs, 0),
            {name: tensor.mT for name, tensor in connections.tensors.items()},
            self._parameters[index][0].mT,
            self._layout.widths[index] * self._layout.widths[index + 1],
            partial(self._connection_numbers, index),
            mean_loss=self._mean_loss.get("mean"),
            find_living=self._living_connections(index),
        )

    def _living_connections(self, index: int) -> Callable[[], Tensor] | None:
        """A function for which weights of a layer lie between living units, broadcast to them."""
        if not {index, index - 1} & {*self._prunable}:
            return None
        alive = self._units[index].tensors["alive"] if index in self._prunable else None
        return partial(between_living, self._parameters[index][0].mT, alive, self._inputs_alive(index))

    def _connection_numbers(self, index: int) -> Tensor:
        """The number of the connection at each entry of a layer's weights, (size, outputs, inputs)."""
        inputs = self._layout.widths[index]
        return self.units_in_slots(index).unsqueeze(-1) * inputs + self.units_in_slots(index - 1).unsqueeze(
            -2
        )

    def units_in_slots(self, index: int) -> Tensor:
        """The number of the unit in each slot behind layer ``index``, (size, slots) int64; 0 is the first."""
        in_order = torch.arange(self._layout.widths[index + 1], device=self._gradient.device)
        return self._slot_units.get(index, in_order.expand(self.size, -1))

    def _inputs_alive(self, index: int) -> Callable[[], Tensor] | None:
        """A function for which inputs of a layer come from living units, (size, slots) bool."""
        tensors = self._units[index - 1].tensors if index - 1 in self._prunable else None
        return None if tensors is None else partial(tensors.__getitem__, "alive")

    def _layer_units(self, index: int, loss: Tensor | None, moments: Sequence[LayerParameters]) -> LayerUnits:
        """The units of a layer with the layers around them; ``moments`` are the optimiser's."""
        may_sync = not plastic.runs_ahead(self._gradient)

        def mask_buffer(at: int, name: str) -> Tensor | None:
            connections = self._connections.get(at)
            return connections.tensors[name].mT if connections and name in connections.tensors else None

        weight, bias = self._parameters[index + 1]
        consumer = Consumer(
            weight.mT,
            None if bias is None else bias.squeeze(1),
            tuple(each[index + 1][0].mT for each in moments),
            held=mask_buffer(index + 1, "held"),
            mask=mask_buffer(index + 1, "connected"),
            gradient=self._gradients[index + 1][0].mT,
        )
        producers = []
        if index != INPUTS:
            weight, bias = self._parameters[index]
            of_biases = [each[index][1] for each in moments]
            producers.append(
                Producer(
                    weight.mT,
                    None if bias is None else bias.squeeze(1),
                    (
                        *(each[index][0].mT for each in moments),
                        *(each.squeeze(1) for each in of_biases if each is not None),
                    ),
                    mask_buffer(index, "connected"),
                    mask_buffer(index, "held"),
                    self._layout.widths[index],
                    self.units_in_slots(index - 1),
                    self._inputs_alive(index),
                    self._gradients[index][0].mT,
                )
            )
        return LayerUnits(
            self._rule(index),
            self._units[index].tensors,
            LayerContext(tuple(producers), (), (consumer,), True, loss),
            self._layout.widths[index + 1],
            self._slot_units[index],
            index == INPUTS,
            may_sync,
            self._skipped[index],
        )

    # --- forward and backward pass ---

    def losses(self, loss_of: Loss, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `NetStack.losses`."""
        with torch.no_grad():
            logits = self._forward(x, training=True)
            if isinstance(loss_of, BuiltInLoss):
                losses, gradient = loss_of.with_gradient(logits, y)
            else:
                losses, gradient = self._user_loss(loss_of, logits.mT.contiguous(), y)
            self._backward(gradient)
        return losses, [self._gradient]

    def _user_loss(self, loss_of: Loss, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """A loss of the user for each net, (size,), and its gradient, from logits (size, rows, classes)."""
        with torch.enable_grad():
            logits.requires_grad_()
            copied, y = logits.clone(), y.clone()  # the loss may change them in place
            losses = vmap(loss_of, (0, None))(copied, y) if self.size > 1 else loss_of(copied[0], y)
            if not isinstance(losses, Tensor) or losses.dim() != (self.size > 1):
                what = f"the loss of a minibatch {described(losses)}"
                raise ValueError(f"{what}; return a tensor with one number")
            [gradient] = torch.autograd.grad(losses.sum(), logits)
        return losses.detach().reshape(-1), gradient.mT

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """See `NetStack.outputs`."""
        return self._forward(x, training=False).mT

    def _forward(self, x: Tensor, training: bool) -> Tensor:
        """The logits, (size, classes, rows): a softmax along the last axis is slow for few classes."""
        h = self._apply_units(INPUTS, x.flatten(1).expand(self.size, -1, -1), training)
        weights = [self._masked_weight(index, training) for index in range(len(self._parameters))]
        biases = [bias for _, bias in self._parameters]
        if training:
            self._layer_inputs = []
            if self.matmul_dtype is not torch.float32:
                weights = [weight.to(self.matmul_dtype) for weight in weights]
                biases = [None if bias is None else bias.to(self.matmul_dtype) for bias in biases]
            self._weights = weights
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if training:
                h = h.to(weight.dtype)
                self._layer_inputs.append(h)
            if index == len(weights) - 1:  # z^T = W^T h^T, so that the classes are not the last axis
                h, weight = weight.mT, h.mT
                bias = None if bias is None else bias.mT
            h = torch.bmm(h, weight) if bias is None else torch.baddbmm(bias, h, weight)
            h = h.to(self._parameters[0][0].dtype)
            if training and index in self._connections:
                self._observe_connections(index, h.mT if index == len(weights) - 1 else h)
            h = self._apply_units(index, h, training)
        return h

    def _masked_weight(self, index: int, training: bool) -> Tensor:
        """The weights of a layer, zero where a connection is pruned."""
        weight = self._parameters[index][0]
        if index not in self._connections or not self._connections[index].rule.keeps_weights:
            return weight  # pruned weights are zero already, as they get neither gradients nor moments
        if not training:
            return kept(self._layer_connections(index).undisturbed().mT, self._bits[index])
        if index in self._rewired or plastic.runs_ahead(weight):
            connections = self._layer_connections(index)
            for nets in self._few_nets(index, weight.new_ones(self.size, dtype=torch.bool)):
                surgery.restore(connections.of(nets))
            self._rewired.discard(index)
        # what the optimiser did to those that are out is undone; their weights are in `held`
        keep_(weight, self._bits[index])
        return weight

    def _observe_connections(self, index: int, y: Tensor) -> None:
        """Show a connection rule the inputs and outputs of its layer, ``y`` (size, rows, units)."""
        connections = self._connections[index]
        rule, knobs = connections.rule, connections.knobs
        knobs["steps"].add_(1)
        if not self._gathers_statistics or not rule.gathers:
            return
        observes = rule.observes(TensorNamespace(knobs), knobs["steps"], knobs["total_steps"])
        x = self._layer_inputs[index].to(y.dtype)
        if rule.sums and (plastic.runs_ahead(observes) or observes.any()):
            sums = {name: connections.tensors[name].mT for name in rule.sums}
            add_means_of_rows(rule, TensorNamespace(knobs, 2), observes, sums, x, y)
        for nets in self._few_nets(index, observes) if rule.has_observe else ():
            self._observe(nets, index, x[nets], y[nets])

    def _few_nets(self, index: int, wanted: Tensor) -> Iterator[slice]:
        """All ``wanted`` nets, (size,) bool, and others beside them, a few at a time.

        So tensors of all connections of a layer stay small: an operation on large ones waits for memory.
        """
        if plastic.runs_ahead(wanted):
            yield slice(0, self.size)
            return
        every = max(1, _FEW_CONNECTIONS // self._parameters[index][0][0].numel())
        for start in range(0, self.size, every):
            if wanted[start : start + every].any():
                yield slice(start, min(start + every, self.size))

    def _observe(self, nets: slice, index: int, x: Tensor, y: Tensor) -> None:
        """Show the connection rule of some nets their inputs and outputs, (size, rows, units)."""
        layer = self._layer_connections(index).of(nets)
        rule = layer.rule
        x, y = rule.signals(TensorNamespace(layer.knobs, 2), x, y)
        sums: dict[Need, Callable[[], Tensor]] = {
            Need.COACTIVATION: lambda: _laid_out_like_weights(y.mT @ x),
            Need.INPUT_MEAN: lambda: x.sum(-2).unsqueeze(-2),
            Need.OUTPUT_MEAN: lambda: y.sum(-2).unsqueeze(-1),
            Need.INPUT_SQUARE: lambda: x.square().sum(-2).unsqueeze(-2),
            Need.OUTPUT_SQUARE: lambda: y.square().sum(-2).unsqueeze(-1),
        }
        needs = rule.all_needs()
        means = {need.name.lower(): total() / y.shape[-2] for need, total in sums.items() if need in needs}
        layer = replace(layer, sums=means)
        if rule.keeps_weights:  # those that are out are zero, and all others are zero in `held`
            layer = replace(layer, weight=joined(layer.weight, layer.tensors["held"]))
        rule.observe(layer.k, layer.s, layer)

    def _apply_units(self, index: int, h: Tensor, training: bool) -> Tensor:
        """Apply the units of a layer to ``h``, (size, rows, slots) or, for the last layer, transposed."""
        if index not in self._units:
            return h
        if index != INPUTS:
            h.clamp_(min=0)
        tensors = self._units[index].tensors
        if index in self._prunable:
            alive = self._alive[index]
            h = h * alive if index == INPUTS else h.mul_(alive)  # the inputs belong to the caller
            if training and self._gathers_statistics:
                self._windows[index].add(Minibatch(h, h.abs() if index == INPUTS else h))
                tensors["age"].add_(1)
        if training and "steps" in tensors:
            tensors["steps"].add_(1)
        return h

    def _backward(self, gradient: Tensor) -> None:
        """Compute all gradients from that of the logits, (size, classes, rows), into ``_gradient``."""
        gradient = gradient.mT
        for index in reversed(range(len(self._parameters))):
            # z = h W + b: dL/dW = h^T dL/dz, dL/db = sum over rows of dL/dz, dL/dh = dL/dz W^T
            h, weight = self._layer_inputs[index], self._weights[index]
            of_weight, of_bias = self._gradients[index]
            if of_bias is not None:
                torch.sum(gradient, 1, keepdim=True, out=of_bias)
            gradient = gradient.to(h.dtype)
            if of_weight.dtype == h.dtype:
                torch.bmm(h.mT, gradient, out=of_weight)
            else:
                of_weight.copy_(torch.bmm(h.mT, gradient))
            if index in self._connections:
                tensors = self._connections[index].tensors
                if "gradient" in tensors:  # of all weights, for rules that regrow by it
                    tensors["gradient"].copy_(of_weight)
                keep_(of_weight, self._bits[index])
            if index:
                gradient = torch.bmm(gradient, weight.mT)
                if index - 1 in self._units:  # rectifiers: the gradient passes where the output is above 0
                    gradient = torch.ops.aten.threshold_backward(gradient, h, 0)
                gradient = gradient.to(of_weight.dtype)

    # --- pruning and regrowing ---

    @torch.no_grad()
    def perturb(self) -> None:
        """Decay weights and add noise to them as rules say, after a step of the optimiser."""
        for index in self._prunable:
            if self._rule(index).perturbs:
                surgery.perturb(self._layer_units(index, None, []))

    def observe_gradients(self) -> None:
        """Gather the statistics of gradients that rules need, after `losses` and before the step."""
        for index in self._prunable:
            if Need.GATE_GRADIENT in self._rule(index).all_needs():
                units = self._layer_units(index, None, [])
                observe_gates(units.gate_gradients(), units.tensors)

    @torch.no_grad()
    def prune(self, loss: Tensor, moments: Sequence[Tensor]) -> None:
        """Prune the units of nets with an event, and choose those that are regrown by `regrow`.

        Args:
            loss: running mean of each net's loss, (size,).
            moments: the optimiser's moments, (size, p) each; changed in place.
        """
        self._mean_loss["mean"] = loss
        by_layer = [self._by_layer(moment) for moment in moments]
        for index in self._prunable:
            units = self._layer_units(index, loss, by_layer)
            event = self._nets_with_event(units.rule, units.tensors)
            if event is None:
                none = torch.zeros((), dtype=torch.bool, device=self._gradient.device)
                self._regrown[index] = none.expand(self.size, self._layout.widths[index + 1])
            else:
                self._regrown[index] = surgery.prune(units, event)

    def _nets_with_event(self, rule: UnitRule | ConnectionRule, knobs: Mapping[str, Tensor]) -> Tensor | None:
        """Which nets have an event at this step, (size,) bool; ``None`` if it is known that none has."""
        event = rule.is_event(TensorNamespace(knobs), knobs["steps"], knobs["total_steps"])
        return event if plastic.runs_ahead(event) or event.any() else None

    @torch.no_grad()
    def needed_levels(self) -> Tensor:
        """The level that each net needs, (size,) int64: the last whose slots hold all its living units.

        Units that are about to be regrown count as living. Before `prune` has chosen them, all count that may
        ever be regrown.
        """
        device = self._gradient.device
        fits = torch.ones(self.size, len(self._levels), dtype=torch.bool, device=device)
        for index in self._prunable:
            if index == INPUTS:
                continue
            tensors, width = self._units[index].tensors, self._layout.widths[index + 1]
            needed = tensors["alive"].sum(1)
            if index in self._regrown:
                needed += self._regrown[index].sum(1)
            elif self._gathers_statistics:
                needed = torch.where(self._can_return(index), width, needed)
            slots = torch.tensor([level[index + 1] for level in self._levels], device=device)
            fits &= needed[:, None] <= slots
            # a unit that returns with its old weights keeps its slot
            stays = tensors["rebirth"] == REBIRTHS.index(OLD)
            if self._connections:  # the state of a mask is lost with the slots
                stays = stays | self._can_return(index)
                stays = stays | any(each.rule.grows for each in self._connections.values())
            fits[:, 1:] &= ~stays[:, None]
        return fits.sum(1) - 1

    def _can_return(self, index: int) -> Tensor:
        """Whether pruned units of a layer can be regrown in each net, (size,) bool."""
        tensors = self._units[index].tensors
        can_return: Tensor = (
            (tensors["regrowth_rate"] > 0) | (tensors["growth_rate"] > 0) | (tensors["grow"] > 0)
        )
        if self._rule(index).recycles:
            can_return |= ~schedule.uses_target(TensorNamespace(tensors))
        return can_return

    @torch.no_grad()
    def regrow(self, moments: Sequence[Tensor]) -> None:
        """Regrow the units that `prune` has chosen, then prune and regrow connections.

        ``moments`` are the optimiser's, (size, p) each; changed in place.
        """
        by_layer = [self._by_layer(moment) for moment in moments]
        for index, regrown in self._regrown.items():
            may_regrow = EventPart.REGROWTH not in self._skipped[index]
            if may_regrow and (plastic.runs_ahead(regrown) or regrown.any()):
                if self._level:
                    self._assign_slots(index, regrown)
                units = self._layer_units(index, None, by_layer)
                surgery.regrow(units, regrown.gather(1, self._slot_units[index]))
        self._regrown = {}
        for index, each in self._connections.items():
            if (event := self._nets_with_event(each.rule, each.knobs)) is not None:
                connections = self._layer_connections(index)
                for nets in self._few_nets(index, event):
                    moments_of_weight = [views[index][0][nets].mT for views in by_layer]
                    surgery.rewire(connections.of(nets), event[nets], moments_of_weight)
                self._bits[index].copy_(each.tensors["connected"]).neg_()
                self._rewired.add(index)
        for index, window in self._windows.items():
            window.renew()
            self._alive[index].copy_(self._alive_mask(index))

    def _assign_slots(self, index: int, regrown: Tensor) -> None:
        """Give each of the ``regrown`` units, (size, units), that has no slot the slot of a pruned one."""
        slot_units, units = self._slot_units[index], self._units[index]
        without_slot = regrown.clone().scatter_(1, slot_units, False)
        most = int(without_slot.sum(1).max())
        if not most:
            return
        taken = units.tensors["alive"] | regrown.gather(1, slot_units)
        free = taken.long().argsort(dim=1, stable=True)[:, :most]
        # units without a slot first; a net with fewer of them than `most` has others behind
        waiting = (~without_slot).long().argsort(dim=1, stable=True)[:, :most]
        # nets that need fewer slots than `most` keep the units of the rest
        new = torch.where(without_slot.gather(1, waiting), waiting, slot_units.gather(1, free))
        slot_units.scatter_(1, free, new)
        self._update_per_unit_knobs(index)

    def _update_per_unit_knobs(self, index: int) -> None:
        """Give every slot the knobs of the unit that it now holds."""
        units = self._units[index]
        for name, of_all in units.per_unit.items():
            units.tensors[name] = of_all.gather(1, self._slot_units[index])

    # --- moving nets between stacks ---

    def keep(self, rows: Tensor) -> None:
        """See `NetStack.keep`."""
        self._select(rows)
        self._set_weights(self.trained["weights"][rows])

    def _tables(self) -> list[dict[Any, Tensor]]:
        """All tensors whose first axis is that of the nets, except weights, in a fixed order."""
        units = [table for each in self._units.values() for table in (each.tensors, each.per_unit)]
        masks = [table for each in self._connections.values() for table in (each.knobs, each.tensors)]
        return [*units, *masks, self._slot_units, self._regrown, self._mean_loss]

    def _select(self, rows: Tensor) -> None:
        """Keep the nets at ``rows`` in all tables."""
        for table in self._tables():
            table.update({key: tensor[rows] for key, tensor in table.items()})

    def at_level(
        self, level: int, rows: Tensor, moments: Sequence[Tensor]
    ) -> tuple[CompactStack, list[Tensor]]:
        """Copy nets into a stack of another level.

        Args:
            level: the level.
            rows: row numbers of the nets, (k,) int64.
            moments: the optimiser's moments of all nets, (size, p) each.

        Returns:
            The stack of the k nets, and their moments, (k, p) each.
        """
        # shallow copies: `_select` and `_resize` replace the tensors in the tables, never write into them
        other = copy.copy(self)
        other._slot_units, other._regrown = dict(self._slot_units), dict(self._regrown)
        other._mean_loss = dict(self._mean_loss)
        other._units = {
            index: replace(each, tensors=dict(each.tensors), per_unit=dict(each.per_unit))
            for index, each in self._units.items()
        }
        other._connections = {
            index: replace(each, knobs=dict(each.knobs), tensors=dict(each.tensors))
            for index, each in self._connections.items()
        }
        other._select(rows)
        other._level = level
        old_slots = {
            index: other._resize(index, other._widths[index + 1])
            for index in self._prunable
            if index != INPUTS
        }
        for index, each in other._connections.items():
            shape = self._parameters[index][0].shape[1:]
            moved = {
                name: _rearranged(tensor.expand(-1, *shape), index, old_slots)
                for name, tensor in each.tensors.items()
            }
            each.tensors.update(moved)
        weights, *moments = (
            self._rearranged_rows(tensor, rows, old_slots) for tensor in (self.trained["weights"], *moments)
        )
        other._set_weights(weights)
        return other, moments

    def _resize(self, index: int, slots: int) -> Tensor:
        """Give a layer so many slots, which hold all its living units.

        Returns:
            The old slot of each new one, (size, slots) int64; -1: it had none.
        """
        units, slot_units = self._units[index], self._slot_units[index]
        before = slot_units.shape[1]
        old_slots: Tensor
        if slots <= before:
            living_first = (~units.tensors["alive"]).long().argsort(dim=1, stable=True)
            old_slots = living_first[:, :slots].sort(1).values
            self._slot_units[index] = slot_units.gather(1, old_slots)
        else:
            has_slot = torch.zeros(
                len(slot_units), self._layout.widths[index + 1], dtype=torch.long, device=slot_units.device
            )
            has_slot.scatter_(1, slot_units, 1)
            new = has_slot.argsort(dim=1, stable=True)[:, : slots - before]
            self._slot_units[index] = torch.cat([slot_units, new], 1)
            old_slots = torch.cat([_positions(slot_units), torch.full_like(new, -1)], 1)
        for name, tensor in units.tensors.items():
            for axis in range(1, tensor.dim() if name not in units.per_unit else 0):
                tensor = _taken(tensor, axis, old_slots)
            units.tensors[name] = tensor
        self._update_per_unit_knobs(index)
        return old_slots

    def _rearranged_rows(self, tensor: Tensor, rows: Tensor, old_slots: dict[int, Tensor]) -> Tensor:
        """Take ``rows`` of a tensor that is laid out like ``weights``, and move its entries to new slots."""
        parts = []
        for index, (weight, bias) in enumerate(self._by_layer(tensor)):
            parts.append(_rearranged(weight[rows], index, old_slots).flatten(1))
            if bias is not None:
                bias, old = bias[rows, 0], old_slots.get(index)
                parts.append(bias if old is None else _taken(bias, 1, old))
        return torch.cat(parts, 1)

    @staticmethod
    def joined(stacks: Sequence[CompactStack]) -> CompactStack:
        """Join stacks of one level to one, which is the first of them."""
        first, *_ = stacks
        if len(stacks) > 1:
            for table, *others in zip(*(each._tables() for each in stacks), strict=True):
                table.update(
                    {key: torch.cat([own, *(each[key] for each in others)]) for key, own in table.items()}
                )
            first._set_weights(torch.cat([each.trained["weights"] for each in stacks]))
        return first

    # --- results ---

    def stop_statistics(self) -> None:
        """See `NetStack.stop_statistics`."""
        self._gathers_statistics = False

    @property
    def slots(self) -> tuple[int, ...]:
        """Number of slots of each hidden layer."""
        return self._widths[1:-1]

    @property
    def level(self) -> int:
        """Index of the level: 0 has a slot for every unit, higher ones have fewer."""
        return self._level

    def layer_connections(self) -> Iterator[LayerConnections]:
        """See `NetStack.layer_connections`."""
        return map(self._layer_connections, self._connections)

    def survivors(self, count: str) -> Survivors:
        """See `NetStack.survivors`.

        A unit survives if it lies on a path of weights that are not zero from an input to an output.
        """
        weights = [self._masked_weight(index, training=False) for index in range(len(self._parameters))]
        links = [(weight != 0).to(weight.dtype) for weight in weights]
        from_inputs = [self._living(INPUTS, links[0].new_ones(self.size, links[0].shape[1]))]
        for index, link in enumerate(links):
            reached = (from_inputs[-1].unsqueeze(1) @ link).squeeze(1) > 0
            from_inputs.append(self._living(index, reached.to(link.dtype)))
        to_outputs = [torch.ones_like(from_inputs[-1])]
        for index, link in reversed([*enumerate(links)]):
            leads_on = (link @ to_outputs[0].unsqueeze(2)).squeeze(2) > 0
            to_outputs.insert(0, self._living(index - 1, leads_on.to(link.dtype)))
        inputs, *units = (a * b for a, b in zip(from_inputs, to_outputs, strict=True))
        if count == "neurons":
            alive = [each.sum(1) for each in units[:-1]]
        else:
            alive = [
                (a.unsqueeze(1) @ link @ b.unsqueeze(2)).flatten()
                for a, link, b in zip(from_inputs, links, to_outputs[1:], strict=False)
            ]
            if count == "parameters":  # and the biases of living units
                alive = [
                    each + own.sum(1) * has_bias
                    for each, own, has_bias in zip(alive, units, self._layout.bias, strict=True)
                ]
        layers, neurons = self._plan.totals(count)
        none = inputs.new_zeros(self.size, 0)
        totals = (torch.stack(alive, 1) if alive else none).round().long()
        hidden = [self._of_all_units(index, each, 1) > 0 for index, each in enumerate(units[:-1])]
        own = tuple(hidden) if count == "neurons" else ()
        return Survivors(layers, neurons, totals, inputs.sum(1).long(), self._plan.notes, own)

    def _living(self, index: int, pattern: Tensor) -> Tensor:
        """Set a pattern of a layer's units, (size, slots), to zero for pruned units."""
        return pattern * self._units[index].tensors["alive"] if index in self._prunable else pattern

    @property
    def state(self) -> dict[str, Tensor]:
        """See `NetStack.state`; units without a slot have weights and statistics of zero."""
        found = self.by_parameter([self.trained["weights"]])
        for index, name in self._layout.units.items():
            units = self._units[index]
            for buffer, tensor in {**units.tensors, **units.per_unit}.items():
                for axis in range(1, tensor.dim() if buffer not in units.per_unit else 0):
                    tensor = self._of_all_units(index, tensor, axis)
                found[f"{name}.{buffer}"] = tensor
        for index, name in self._layout.masked.items():
            connections = self._connections[index]
            found |= {f"{name}.{knob}": tensor for knob, tensor in connections.knobs.items()}
            found |= {
                f"{name}.connections.0.{key}": self._of_all_connections(index, tensor).mT
                for key, tensor in connections.tensors.items()
            }
            if connections.rule.keeps_weights:
                weight = self._layer_connections(index).undisturbed().mT
                found[f"{self._layout.layers[index]}.weight"] = self._of_all_connections(index, weight).mT
        return found

    def by_parameter(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """See `NetStack.by_parameter`; units without a slot have gradients of zero."""
        [rows] = gradients
        found = {}
        for index, (name, (weight, bias)) in enumerate(
            zip(self._layout.layers, self._by_layer(rows), strict=True)
        ):
            found[f"{name}.weight"] = self._of_all_connections(index, weight).mT
            if bias is not None:
                found[f"{name}.bias"] = self._of_all_units(index, bias.squeeze(1), 1)
        return found

    def _of_all_connections(self, index: int, values: Tensor) -> Tensor:
        """Values of every connection of a layer, (size, inputs, outputs), from those between slots."""
        values = values.expand(-1, *self._parameters[index][0].shape[1:])
        return self._of_all_units(index, self._of_all_units(index - 1, values, 1), 2)

    def _of_all_units(self, index: int, values: Tensor, axis: int) -> Tensor:
        """Values of every unit of a layer along an axis, from those of its slots; zero without a slot."""
        if index not in self._slot_units or index == INPUTS:
            return values
        shape = [*values.shape]
        shape[axis] = self._layout.widths[index + 1]
        numbers = self._slot_units[index].reshape(
            len(values), *(-1 if each == axis else 1 for each in range(1, values.dim()))
        )
        return values.new_zeros(shape).scatter(axis, numbers.expand(values.shape), values)


def _rearranged(values: Tensor, index: int, old_slots: Mapping[int, Tensor]) -> Tensor:
    """Move entries that are laid out like the weights of a layer, (size, inputs, outputs), to new slots."""
    for axis, old in ((1, old_slots.get(index - 1)), (2, old_slots.get(index))):
        if old is not None:
            values = _taken(values, axis, old)
    return values


def _laid_out_like_weights(values: Tensor) -> Tensor:
    """Values of connections, (size, outputs, inputs), in the order in memory that the weights here have.

    An operation on tensors of two orders takes ten times as long.
    """
    return values.mT.contiguous().mT


def _taken(values: Tensor, axis: int, old_slots: Tensor) -> Tensor:
    """Take the entries at ``old_slots``, (size, slots), along an axis; zero for -1."""
    indices = old_slots.reshape(
        len(old_slots), *(-1 if each == axis else 1 for each in range(1, values.dim()))
    )
    shape = [*values.shape]
    shape[axis] = old_slots.shape[1]
    if shape[axis] <= values.shape[axis]:  # there are no more slots than before, so none is -1
        return values.gather(axis, indices.expand(shape))
    return values.gather(axis, indices.clamp(min=0).expand(shape)).masked_fill(indices < 0, 0)


def _positions(like: Tensor) -> Tensor:
    """0, 1, 2, ... along the last axis, in the shape of a tensor."""
    return torch.arange(like.shape[-1], device=like.device).expand(like.shape).contiguous()
