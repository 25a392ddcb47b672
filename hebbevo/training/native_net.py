"""A fully connected network that the native engine trains: whole in the cache, of living neurons only.

The memory of the network consists of tensors, to which the engine has pointers. Statistics, the choice of
what is pruned and regrown, and compaction are compiled, and so are the scores of some rules; the score of any
other is its own, of tensors, at every event. Weights and arrays of units have a row or an entry for each
living unit, in any order.

Places are numbered from the inputs, 0, to the outputs. Layer i leads from place i to place i + 1.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hebbevo.native.loading import TILE, Library
from hebbevo.native.structures import Data, Layer, Network
from hebbevo.nn.layer_context import Consumer, LayerContext, Producer
from hebbevo.nn.layer_units import LayerUnits
from hebbevo.rules.rule import Need
from hebbevo.training import native_connections
from hebbevo.training.losses import CrossEntropy, SquaredError
from hebbevo.training.native_connections import MaskedLayer
from hebbevo.training.native_place import Place, PlacePlan, padded
from hebbevo.training.optimizers import SGD, AdamW, OwnStepsAdamW, StackedOptimizer
from hebbevo.training.stack import Loss

EVALUATED_ROWS = 64
"""Rows for which outputs are computed at once, unless minibatches have more."""

_OPTIMIZERS: dict[type[StackedOptimizer], int] = {AdamW: 1, OwnStepsAdamW: 2, SGD: 3}
_NO_STEP = 0
_DUE = torch.ones((), dtype=torch.bool)
_NONE = torch.zeros(0)


class NativeRows:
    """Inputs with labels or targets, as the engine reads them.

    Args:
        x: inputs, (rows, *shape) float32.
        y: labels, (rows,) int64, or targets, (rows, 1) float32.
        loss: the loss of one net.

    Raises:
        ValueError: the engine does not have this loss.
    """

    def __init__(self, x: Tensor, y: Tensor | None = None, loss: Loss | None = None) -> None:
        if loss is not None and not isinstance(loss, CrossEntropy | SquaredError):
            raise ValueError("the native engine has cross entropy and squared error only")
        x, y = x.flatten(1).contiguous(), None if y is None else y.contiguous()
        weights = loss.weights if isinstance(loss, CrossEntropy) else None
        self._kept = x, y, weights  # the engine has pointers to their memory
        self._number = len(x)
        self.structure = Data(
            x=x.data_ptr(),
            features=x.shape[1],
            labels=y.data_ptr() if y is not None and isinstance(loss, CrossEntropy) else None,
            targets=y.data_ptr() if y is not None and isinstance(loss, SquaredError) else None,
            class_weights=None if weights is None else weights.data_ptr(),
        )

    def __len__(self) -> int:
        return self._number


class NativeNet:
    """One fully connected network in training.

    Attributes:
        places: the units of each place.
        pointer: where the engine finds it.

    Args:
        plans: of each place.
        most_rows: most rows of a minibatch.
        library: the build of the engine.
    """

    def __init__(self, plans: Sequence[PlacePlan], most_rows: int, library: Library) -> None:
        self._library = library
        self._network = Network(layers=len(plans) - 1, columns=max(most_rows, EVALUATED_ROWS))
        self.pointer = ctypes.addressof(self._network)
        inputs = [0, *(plan.size for plan in plans)]
        self.places = [Place(self._network.place[i], plan, inputs[i]) for i, plan in enumerate(plans)]
        self._loss = torch.zeros(())
        self._weights: list[Tensor] = []
        self._gradients: dict[int, tuple[Tensor, Tensor]] = {}  # of layers whose last ones are kept
        self._moments: list[list[Tensor]] = []  # of the weights of each layer
        self._masked: Mapping[int, MaskedLayer] = {}
        self._masks: dict[int, Tensor] = {}  # of connections between living units
        self._stops = _NONE
        self._allocate([plan.size for plan in plans], padded(self._network.columns))

    def _allocate(self, sizes: Sequence[int], columns: int) -> None:
        """Give the engine room to compute in."""
        network, widest = self._network, max(map(padded, sizes))
        rooms = [padded(size) * columns for size in sizes]
        others = columns * widest, TILE * widest, 2 * widest
        self._room = torch.zeros(2 * sum(rooms) + sum(others))
        parts = iter(torch.split(self._room, [*rooms, *rooms, *others]))
        for target in (network.activation, network.error):
            for place in range(len(sizes)):
                target[place] = next(parts).data_ptr()
        network.transposed, network.tile, network.order = (each.data_ptr() for each in parts)

    def hold(
        self,
        parameters: Sequence[tuple[Tensor, Tensor]],
        masked: Mapping[int, MaskedLayer],
        gates: Mapping[int, Tensor],
    ) -> None:
        """Hold weights, biases, masks and gates in this memory.

        Args:
            parameters: (inputs, stride) and (stride,) of each layer.
            masked: the masked layers by number.
            gates: theta of each place whose units have gates, (stride,).
        """
        self._weights, self._masked = [weight for weight, _ in parameters], masked
        for place, theta in gates.items():
            self.places[place].hold_gates(theta)
        for layer, (weight, bias) in zip(self._layers(), parameters, strict=True):
            layer.stride, layer.weight, layer.bias = weight.stride(0), weight.data_ptr(), bias.data_ptr()
        for place, own in enumerate(self.places):
            if own.needs(Need.INCOMING_GRADIENT) and place - 1 not in self._gradients:
                self._keep_gradients(place - 1, *parameters[place - 1])
        for index, connections in masked.items():
            if "gradient" in connections.tensors and index not in self._gradients:
                self._keep_gradients(index, *parameters[index])
            mask = self._masks[index] = torch.zeros_like(parameters[index][0], dtype=torch.int32)
            self._network.layer[index].connected = connections.tensors["connected"].data_ptr()
            self._network.layer[index].mask = mask.data_ptr()
        if masked:
            self._stops = native_connections.stops([*masked.values()])
            self._network.stops = self._stops.data_ptr()
            self._library.lay_out_masks(self.pointer)

    def begin(self) -> None:
        """Drop the units that are out from the start."""
        self._library.drop_dead(self.pointer)
        self._library.lay_out_masks(self.pointer)

    def use(
        self, optimizer: StackedOptimizer, row: int, names: Sequence[str], gates: Mapping[int, str]
    ) -> None:
        """Train by the optimiser of a stack, whose state of the net at ``row`` the engine changes.

        Args:
            optimizer: of the stack.
            row: of this net.
            names: of the weights and biases, in the order of the layers.
            gates: names of theta, by place.
        """
        network = self._network
        network.optimizer = _OPTIMIZERS[type(optimizer)]
        network.learning_rate = float(optimizer.learning_rate[row])
        network.weight_decay = float(optimizer.weight_decay[row])
        network.momentum = float(optimizer.momentum[row]) if isinstance(optimizer, SGD) else 0.0
        self._moments = [[each[row] for each in optimizer.moments[name]] for name in names[::2]]
        targets: list[tuple[Any, str]] = []
        for layer, weight, bias in zip(self._layers(), names[::2], names[1::2], strict=True):
            targets += [(layer.weight_state, weight), (layer.bias_state, bias)]
        targets += [(network.place[place].theta_state, name) for place, name in gates.items()]
        for target, name in targets:
            moments = optimizer.moments[name]
            network.states = len(moments)
            for number, moment in enumerate(moments):
                target[number] = moment.data_ptr() + row * moment.stride(0) * moment.itemsize

    def _layers(self) -> Iterator[Layer]:
        return (self._network.layer[index] for index in range(self._network.layers))

    def _keep_gradients(self, index: int, weight: Tensor, bias: Tensor) -> None:
        layer, own = self._network.layer[index], (torch.zeros_like(weight), torch.zeros_like(bias))
        layer.weight_gradient, layer.bias_gradient = (each.data_ptr() for each in own)
        self._gradients[index] = own

    # --- training ---

    def train(
        self,
        rows: NativeRows,
        order: Tensor,
        batch_size: int,
        factors: Tensor,
        losses: Tensor,
        taken: int = 0,
    ) -> None:
        """Train on minibatches, with the events that fall on them.

        Args:
            rows: the training rows.
            order: the rows of the minibatches, one after the other, int64.
            batch_size: rows of a minibatch; the last one may have fewer.
            factors: of the learning rate at each step, float32.
            losses: gets the loss of each step, float32; a training ends with the first that is not finite.
            taken: steps that the engine has taken of these, negative if the loss of the last one is not
                finite.
        """
        done = abs(taken)
        if taken > 0:
            self._act()
        while taken >= 0 and done < len(losses):
            for index, own in self._masked.items():
                if own.observed[self.step]:
                    own.observe(self.step + 1, self._of_all(index, self._weights[index]))
            start = done * batch_size
            taken = self._library.train(
                self.pointer,
                ctypes.byref(rows.structure),
                order.data_ptr() + start * order.itemsize,
                len(order) - start,
                batch_size,
                factors.data_ptr() + done * factors.itemsize,
                losses.data_ptr() + done * losses.itemsize,
            )
            done += abs(taken)
            if taken > 0:
                self._act()

    def has_stopped(self, taken: int, steps: int) -> bool:
        """Whether the engine has stopped after ``taken`` steps for what it leaves to `train`."""
        return 0 <= taken < steps or bool(self._network.awaits_event)

    def _act(self) -> None:
        """Do what the engine leaves to rules' own code after its last step."""
        if self._network.awaits_event:
            self._hold_events()
        self._rewire()

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self._network.step)

    def gradients(self, rows: NativeRows, number: int) -> tuple[Tensor, list[Tensor]]:
        """The loss of the first rows and its gradients by weights, biases and gates, as they are in memory.

        Statistics are gathered, and the step is counted.
        """
        for index, weight in enumerate(self._weights):
            if index not in self._gradients:
                self._keep_gradients(index, weight, weight[0])
        optimizer, self._network.optimizer = self._network.optimizer, _NO_STEP
        loss = torch.zeros(1)
        self.train(rows, torch.arange(number), number, torch.ones(1), loss)
        self._network.optimizer = optimizer
        found = [(self._gradient(index), bias) for index, (_, bias) in sorted(self._gradients.items())]
        of_layers = [each for pair in found for each in pair if each is not None]
        return loss[0], [*of_layers, *(place.gate_gradient for place in self.places if place.has_gates)]

    def _hold_events(self) -> None:
        """Prune and regrow units, by scores of their rules' own, of the places with an event at this step."""
        for place, own in enumerate(self.places):
            if not own.has_event(self.step):
                continue
            scores = None
            if allowed := self._library.begin_event(self.pointer, place):
                units = self._layer_units(place, allowed)
                scores = own.rule.score(units.k, units.s, units).double().contiguous()
            self._library.prune(self.pointer, place, None if scores is None else scores.data_ptr())
        self._library.end_events(self.pointer)

    def _rewire(self) -> None:
        """Let connections leave and enter in the layers with an event at this step."""
        due = [index for index, own in self._masked.items() if own.events[self.step]]
        self.note_gradients(due)
        for index in due:
            inputs, outputs = self.places[index], self.places[index + 1]
            held = self._weights[index], *self._moments[index]
            weight, *moments = (self._of_all(index, each) for each in held)
            self._masked[index].rewire(
                self.step, self._network.running_loss, weight, moments, outputs.alive, inputs.alive
            )
            for own, changed in zip(held, (weight, *moments), strict=True):
                living = changed[outputs.numbers.unsqueeze(-1), inputs.numbers]
                self._living_part(own, index).copy_(living.mT)
        if due:
            self._library.lay_out_masks(self.pointer)

    def note_gradients(self, layers: Sequence[int]) -> None:
        """Give rules of masked layers that need it the last gradient of all weights."""
        for index in layers:
            if "gradient" in (tensors := self._masked[index].tensors):
                tensors["gradient"].copy_(self._of_all(index, self._gradients[index][0]))

    def _layer_units(self, place: int, most: int) -> LayerUnits:
        """The living units of a place with the layers around them, as rules see them."""
        own = self.places[place]
        consumers = [self._consumer(place)] if own.sees_layers else []
        producers = [self._producer(place)] if own.sees_layers and place else []
        self._loss.fill_(self._network.running_loss)
        context = LayerContext(tuple(producers), (), tuple(consumers), True, self._loss)
        return LayerUnits(
            own.rule,
            own.tensors(self.step),
            context,
            own.size,
            own.numbers,
            place == 0,
            True,
            due=_DUE,
            most=most,
        )

    def _consumer(self, place: int) -> Consumer:
        """The layer that reads a place."""
        return Consumer(self._living_part(self._weights[place], place).mT, None)

    def _producer(self, place: int) -> Producer:
        """The layer that leads to a place."""
        index, before = place - 1, self.places[place - 1]
        gradient = self._gradient(index)
        return Producer(
            self._living_part(self._weights[index], index).mT,
            None,
            fan_in=before.size,
            inputs=before.numbers,
            gradient=None if gradient is None else self._living_part(gradient, index).mT,
        )

    def _gradient(self, index: int) -> Tensor | None:
        """The last gradient of the weights of a layer, zero where connections are out, if it is kept."""
        gradient = self._gradients[index][0] if index in self._gradients else None
        return gradient if gradient is None or index not in self._masks else gradient * -self._masks[index]

    def _living_part(self, values: Tensor, index: int) -> Tensor:
        """What belongs to the weights between living units of a layer, (inputs, outputs)."""
        return values[: self.places[index].living, : self.places[index + 1].living]

    # --- results ---

    def outputs(self, rows: NativeRows, outputs: Tensor) -> None:
        """Compute the outputs of the first rows into a tensor, (rows, outputs)."""
        self._library.outputs(self.pointer, ctypes.byref(rows.structure), len(outputs), outputs.data_ptr())

    def dense(self, index: int, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """What belongs to all weights, (outputs, inputs), and biases of a layer; zero for units that are out.

        Args:
            index: of the layer.
            weight: as the weights are in memory, (inputs, stride).
            bias: likewise, (stride,).
        """
        outputs = self.places[index + 1]
        return self._of_all(index, weight), outputs.of_all(bias[: outputs.living])

    def _of_all(self, index: int, values: Tensor) -> Tensor:
        """What belongs to all weights of a layer, (outputs, inputs), from what belongs to those in memory."""
        inputs, outputs = self.places[index], self.places[index + 1]
        found = torch.zeros(outputs.size, inputs.size)
        found[outputs.numbers.unsqueeze(-1), inputs.numbers] = self._living_part(values, index).mT
        return found
