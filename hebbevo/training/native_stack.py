"""Nets of one structure that the native engine trains one after the other, with the interface of a stack."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn

from hebbevo.native.loading import Library
from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.layer_connections import LayerConnections
from hebbevo.nn.liveness.paths import Survivors
from hebbevo.nn.mlp_layout import MlpLayout
from hebbevo.nn.plastic import TensorNamespace
from hebbevo.nn.units import PlasticUnits
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule
from hebbevo.training.native_connections import MaskedLayer
from hebbevo.training.native_net import NativeNet, NativeRows
from hebbevo.training.native_place import PlacePlan, padded
from hebbevo.training.optimizers import StackedOptimizer
from hebbevo.training.per_structure import layout_of, plan_of
from hebbevo.training.stack import Loss, ModuleStack, NetStack


class NativeStack(NetStack):
    """Nets of one structure, each by itself in the native engine.

    Attributes:
        trained: weights, (size, inputs, stride), and biases, (size, stride), under the names of the
            parameters and in the order of the engine; then theta of gates, (size, stride).

    Args:
        nets: nets whose wiring is connected; their tensors are copied.
        model: another net of the same structure.
        row: an input, (1, *shape).
        most_rows: most rows of a minibatch.
        library: the build of the engine.
    """

    def __init__(
        self, nets: ModuleStack, model: nn.Module, row: Tensor, most_rows: int, library: Library
    ) -> None:
        layout = layout_of(model)
        assert layout is not None, "nets that the engine does not serve are refused before"
        self._layout, self._plan = layout, plan_of(model, row)
        self._state = {name: tensor.detach().clone() for name, tensor in nets.state.items()}
        self._masked = dict(_masked_layers(layout, model, self._state))
        plans = _place_plans(layout, model, self._state, nets.size)
        self._library, self._nets = library, [NativeNet(own, most_rows, library) for own in plans]
        self._optimizer: StackedOptimizer | None = None  # of whose state the nets know where it is
        self.trained = {}
        for name, inputs, outputs in zip(layout.layers, layout.widths, layout.widths[1:], strict=False):
            weight = torch.zeros(nets.size, inputs, padded(outputs))
            bias = torch.zeros(nets.size, padded(outputs))
            weight[..., :outputs] = self._state[f"{name}.weight"].mT
            bias[:, :outputs] = self._state[f"{name}.bias"]
            self.trained |= {f"{name}.weight": weight, f"{name}.bias": bias}
        self._layer_names = [*self.trained]
        self._gates = dict(_gates(layout, model))
        for place, name in self._gates.items():
            width = layout.widths[place]
            self.trained[name] = torch.zeros(nets.size, padded(width))
            self.trained[name][:, :width] = self._state[name]
        self._hold()
        for net in self._nets:
            net.begin()

    def _hold(self) -> None:
        """Tell each net where its weights and masks are."""
        for number, net in enumerate(self._nets):
            masked = {index: each.at(number) for index, each in self._masked.items()}
            gates = {place: self.trained[name][number] for place, name in self._gates.items()}
            net.hold(self._parameters([*self.trained.values()], number), masked, gates)

    def _parameters(self, values: Sequence[Tensor], number: int) -> list[tuple[Tensor, Tensor]]:
        """What belongs to the weights and biases of one net, from the values in the order of ``trained``."""
        own = [each[number] for each in values[: len(self._layer_names)]]
        return [*zip(own[::2], own[1::2], strict=True)]

    def train(
        self,
        optimizer: StackedOptimizer,
        rows: NativeRows,
        order: Tensor,
        batch_size: int,
        factors: Tensor,
        takes_part: Sequence[bool],
    ) -> Tensor:
        """Train nets on minibatches, with the events that fall on them.

        Args:
            optimizer: of these nets.
            rows: the training rows.
            order: the rows of the minibatches, one after the other, int64.
            batch_size: rows of a minibatch; the last one may have fewer.
            factors: of the learning rates at each step, (steps, size) float32.
            takes_part: whether each net trains.

        Returns:
            The loss of each net at each step, (steps, size); a net whose loss is not finite takes no further
            step, and those of steps not taken are zero.
        """
        if self._optimizer is not optimizer:
            for number, net in enumerate(self._nets):
                net.use(optimizer, number, self._layer_names, self._gates)
            self._optimizer = optimizer
        by_net, losses = factors.mT.contiguous(), torch.zeros(self.size, len(factors))
        taken = torch.zeros(self.size, dtype=torch.int64)
        if not self._masked:  # whose rules may observe weights before a step
            self._library.train_all(
                self._pointers(takes_part),
                self.size,
                ctypes.byref(rows.structure),
                order.data_ptr(),
                len(order),
                batch_size,
                by_net.data_ptr(),
                losses.data_ptr(),
                taken.data_ptr(),
            )
        for number, (net, steps) in enumerate(zip(self._nets, taken.tolist(), strict=True)):
            if takes_part[number] and net.has_stopped(steps, len(factors)):
                net.train(rows, order, batch_size, by_net[number], losses[number], steps)
        return losses.mT

    def right(self, rows: NativeRows) -> Tensor:
        """How many rows have their largest output at their label, (size,) int64; -1: one is not finite."""
        found = torch.empty(self.size, dtype=torch.int64)
        nets, data = self._pointers(), ctypes.byref(rows.structure)
        self._library.right(nets, self.size, data, len(rows), found.data_ptr())
        return found

    def _pointers(self, takes_part: Sequence[bool] | None = None) -> ctypes.Array[ctypes.c_void_p]:
        """Where the engine finds the nets, those that take part."""
        are_in = takes_part or [True] * self.size
        found = [net.pointer if is_in else None for net, is_in in zip(self._nets, are_in, strict=True)]
        return (ctypes.c_void_p * self.size)(*found)

    def losses(self, loss_of: Loss, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `NetStack.losses`."""
        rows = NativeRows(x, y, loss_of)
        found, gradients = zip(*(net.gradients(rows, len(x)) for net in self._nets), strict=True)
        return torch.stack(found), [*map(torch.stack, zip(*gradients, strict=True))]

    def by_parameter(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """See `NetStack.by_parameter`; units that are out have gradients of zero."""
        found: dict[str, list[Tensor]] = {name: [] for name in self.trained}
        for number, net in enumerate(self._nets):
            of_layers = enumerate(self._parameters(gradients, number))
            dense = [each for index, (weight, bias) in of_layers for each in net.dense(index, weight, bias)]
            for place, theta in zip(self._gates, gradients[len(self._layer_names) :], strict=True):
                own_place = net.places[place]
                dense.append(own_place.of_all(theta[number, : own_place.living]))
            for own, tensor in zip(found.values(), dense, strict=True):
                own.append(tensor)
        return {name: torch.stack(own) for name, own in found.items()}

    def outputs(self, x: Tensor) -> Tensor:
        """See `NetStack.outputs`."""
        outputs, rows = torch.empty(self.size, len(x), self._layout.widths[-1]), NativeRows(x)
        for net, own in zip(self._nets, outputs, strict=True):
            net.outputs(rows, own)
        return outputs

    def survivors(self, count: str) -> Survivors:
        """See `NetStack.survivors`.

        A unit survives if it lies on a path of weights that are not zero from an input to an output.
        """
        on_path = [torch.empty(self.size, width, dtype=torch.bool) for width in self._layout.widths]
        units = torch.empty(self.size, len(on_path), dtype=torch.int64)
        connections = None if count == "neurons" else torch.empty(self.size, len(on_path) - 1).long()
        self._library.survivors(
            self._pointers(),
            self.size,
            (ctypes.c_void_p * len(on_path))(*(each.data_ptr() for each in on_path)),
            units.data_ptr(),
            None if connections is None else connections.data_ptr(),
        )
        if connections is None:
            alive = units[:, 1:-1]
        else:
            alive = connections + units[:, 1:] if count == "parameters" else connections  # with biases
        layers, neurons = self._plan.totals(count)
        patterns = tuple(on_path[1:-1]) if connections is None else ()
        return Survivors(layers, neurons, alive, units[:, 0], self._plan.notes, patterns)

    @property
    def state(self) -> dict[str, Tensor]:
        """See `NetStack.state`; units that are out have weights and statistics of zero."""
        found = dict(self._state)
        for index, name in self._layout.units.items():
            own = [net.places[index + 1].state(net.step) for net in self._nets]
            found |= {f"{name}.{key}": torch.stack([each[key] for each in own]) for key in own[0]}
        for net in self._nets:
            net.note_gradients([*self._masked])
        steps = torch.tensor([net.step for net in self._nets])
        for index, name in self._layout.masked.items():
            found |= self._masked[index].state(name, steps)
        return found | self.by_parameter([*self.trained.values()])

    def layer_connections(self) -> Iterator[LayerConnections]:
        """See `NetStack.layer_connections`."""
        weights = self.by_parameter([*self.trained.values()]) if self._masked else {}
        for index, each in self._masked.items():
            yield each.layer(weights[f"{self._layout.layers[index]}.weight"])

    def keep(self, rows: Tensor) -> None:
        """See `NetStack.keep`."""
        self._nets = [self._nets[row] for row in rows.tolist()]
        self._state = {name: tensor[rows] for name, tensor in self._state.items()}
        self.trained = {name: tensor[rows] for name, tensor in self.trained.items()}
        self._masked = {index: each.at(rows) for index, each in self._masked.items()}
        self._optimizer = None  # its state of these nets is elsewhere too
        self._hold()


def _gates(layout: MlpLayout, model: nn.Module) -> Iterator[tuple[int, str]]:
    """The names of what gates are made of, by the place of their units."""
    for index, name in layout.units.items():
        module = model.get_submodule(name)
        if isinstance(module, PlasticUnits):
            yield from ((index + 1, f"{name}.{key}") for key in module.rule.parameters)


def _masked_layers(
    layout: MlpLayout, model: nn.Module, state: Mapping[str, Tensor]
) -> Iterator[tuple[int, MaskedLayer]]:
    """The masked layers of all nets before the first step, by number."""
    for index, name in layout.masked.items():
        module = model.get_submodule(name)
        assert isinstance(module, PlasticConnections)
        mask = module.connections[0]
        knobs = {key: state[f"{name}.{key}"].clone() for key in module._buffers}
        tensors = {key: state[f"{name}.connections.0.{key}"].clone() for key in mask._buffers}
        yield index, MaskedLayer.of(module.rule, knobs, tensors)


def _place_plans(
    layout: MlpLayout, model: nn.Module, state: Mapping[str, Tensor], size: int
) -> list[list[PlacePlan]]:
    """What is known of the units of each place of each net before the first step."""
    by_place = []
    for place, width in enumerate(layout.widths):
        name = layout.units.get(place - 1)
        module = model.get_submodule(name) if name is not None else None
        if not isinstance(module, PlasticUnits):
            by_place.append([PlacePlan(width)] * size)
            continue
        buffers = {key: state[f"{name}.{key}"] for key in module._buffers}
        by_net = zip(*(each.unbind() for each in buffers.values()), strict=True)
        of_nets = [dict(zip(buffers, own, strict=True)) for own in by_net]
        if module.rule.prunes:
            by_place.append(_pruned_plans(module.rule, buffers, of_nets, width))
        else:
            by_place.append([PlacePlan(width, None, own) for own in of_nets])
    return [*map(list, zip(*by_place, strict=True))]


def _pruned_plans(
    rule: UnitRule, buffers: Mapping[str, Tensor], of_nets: Sequence[Mapping[str, Tensor]], width: int
) -> list[PlacePlan]:
    """What is known of the units of a place under a rule that prunes, of each net."""
    k, size = TensorNamespace(buffers, 1), len(of_nets)
    scalars = {key: each.tolist() for key, each in buffers.items() if each.dim() == 1}
    numbers = [dict(zip(scalars, own, strict=True)) for own in zip(*scalars.values(), strict=True)]
    total = buffers["total_steps"].unsqueeze(-1)
    steps = torch.arange(int(total.max()) + 1)
    events = rule.is_event(k, steps, total) & (steps > 0)
    left = schedule.units_left(k, steps, total, buffers["goal"].unsqueeze(-1), width)
    is_last = schedule.events_passed(k, steps, total) >= k.events
    perturbation = _perturbation(rule, k, steps, total)
    acts = functools.reduce(torch.logical_or, (each != 0 for each in perturbation), events)
    laid = [each.expand(size, -1).contiguous() for each in (events, left.long(), is_last, *perturbation)]
    last = (acts * steps).expand(size, -1).amax(-1).tolist()
    of_steps = zip(*laid, strict=True)
    return [
        PlacePlan(width, rule, own, knobs, perturbed, is_event, last_event, units_left, is_over)
        for own, knobs, last_event, (is_event, units_left, is_over, *perturbed) in zip(
            of_nets, numbers, last, of_steps, strict=True
        )
    ]


def _perturbation(rule: UnitRule, k: Any, steps: Tensor, total: Tensor) -> tuple[Tensor, ...]:
    """Decay, shrinkage and noise of units that fire, after each step; none where a rule does not perturb."""
    if not rule.perturbs:
        return ()
    firing = SimpleNamespace(silent=torch.zeros(()))
    found = rule.perturbation(k, firing, cast(UnitLayer, SimpleNamespace(step=steps, total=total)))
    return tuple(each.float() * (steps > 0) for each in found)
