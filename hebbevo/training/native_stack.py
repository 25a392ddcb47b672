"""Nets of one structure that the native engine trains one after the other, with the interface of a stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from hebbevo.native.loading import Library
from hebbevo.nn.layer_connections import LayerConnections
from hebbevo.nn.liveness.paths import LivenessPlan, Survivors
from hebbevo.nn.mlp_layout import MlpLayout, mlp_layout
from hebbevo.nn.plastic import TensorNamespace
from hebbevo.nn.units import PlasticUnits
from hebbevo.rules.units import schedule
from hebbevo.training.native_net import NativeNet, NativeRows, PlacePlan, padded
from hebbevo.training.optimizers import StackedOptimizer
from hebbevo.training.stack import Loss, ModuleStack, NetStack


class NativeStack(NetStack):
    """Nets of one structure, each by itself in the native engine.

    Attributes:
        trained: weights, (size, inputs, stride), and biases, (size, stride), under the names of the
            parameters and in the order of the engine.

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
        layout = mlp_layout(model)
        assert layout is not None, "nets that the engine does not serve are refused before"
        self._layout, self._plan = layout, LivenessPlan.of(model, row)
        self._state = {name: tensor.detach().clone() for name, tensor in nets.state.items()}
        plans = _place_plans(layout, model, self._state, nets.size)
        self._nets = [NativeNet(own, most_rows, library) for own in plans]
        self.trained = {}
        for name, inputs, outputs in zip(layout.layers, layout.widths, layout.widths[1:], strict=False):
            weight = torch.zeros(nets.size, inputs, padded(outputs))
            bias = torch.zeros(nets.size, padded(outputs))
            weight[..., :outputs] = self._state[f"{name}.weight"].mT
            bias[:, :outputs] = self._state[f"{name}.bias"]
            self.trained |= {f"{name}.weight": weight, f"{name}.bias": bias}
        self._hold()
        for net in self._nets:
            net.begin()

    def _hold(self) -> None:
        """Tell each net where its weights are."""
        for number, net in enumerate(self._nets):
            net.hold(self._parameters([*self.trained.values()], number))

    def _parameters(self, values: Sequence[Tensor], number: int) -> list[tuple[Tensor, Tensor]]:
        """What belongs to the weights and biases of one net, from the values in the order of ``trained``."""
        own = [each[number] for each in values]
        return [*zip(own[::2], own[1::2], strict=True)]

    def train(
        self,
        optimizer: StackedOptimizer,
        rows: NativeRows,
        order: Tensor,
        batch_size: int,
        factors: Tensor,
        losses: Tensor,
        chosen: Sequence[int],
    ) -> None:
        """Train nets on minibatches, with the events that fall on them.

        Args:
            optimizer: of these nets.
            rows: the training rows.
            order: the rows of the minibatches, one after the other, int64.
            batch_size: rows of a minibatch; the last one may have fewer.
            factors: of the learning rates at each step, (steps, size) float32.
            losses: gets the loss of each step of the chosen nets, (steps, size); a net whose loss is not
                finite takes no further step.
            chosen: numbers of the nets.
        """
        by_net = factors.mT.contiguous()
        for number in chosen:
            net = self._nets[number]
            net.use(optimizer, number, [*self.trained])
            own = net.train(rows, order, batch_size, by_net[number])
            losses[: len(own), number] = own

    def hold_events(self, step: int, loss: Tensor) -> None:
        """Prune and regrow as after this step.

        Args:
            step: number of the step; the nets count on from it.
            loss: running mean of each net's loss, (size,).
        """
        for net, own in zip(self._nets, loss.tolist(), strict=True):
            net.hold_events(step, own)

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
        units, of_units, of_layers = zip(*(net.survivors() for net in self._nets), strict=True)
        by_layer = torch.tensor(of_layers)
        by_unit = torch.tensor(of_units)
        if count == "neurons":
            alive = by_unit[:, 1:-1]
        else:
            alive = by_layer + by_unit[:, 1:] if count == "parameters" else by_layer  # with biases
        layers, neurons = self._plan.totals(count)
        patterns = [torch.stack(own) for own in zip(*units, strict=True)][1:-1] if count == "neurons" else []
        return Survivors(layers, neurons, alive, by_unit[:, 0], self._plan.notes, tuple(patterns))

    @property
    def state(self) -> dict[str, Tensor]:
        """See `NetStack.state`; units that are out have weights and statistics of zero."""
        found = dict(self._state)
        for index, name in self._layout.units.items():
            own = [net.places[index + 1].state(net.step) for net in self._nets]
            found |= {f"{name}.{key}": torch.stack([each[key] for each in own]) for key in own[0]}
        return found | self.by_parameter([*self.trained.values()])

    def layer_connections(self) -> Iterator[LayerConnections]:
        """See `NetStack.layer_connections`: none is masked."""
        return iter(())

    def keep(self, rows: Tensor) -> None:
        """See `NetStack.keep`."""
        self._nets = [self._nets[row] for row in rows.tolist()]
        self._state = {name: tensor[rows] for name, tensor in self._state.items()}
        self.trained = {name: tensor[rows] for name, tensor in self.trained.items()}
        self._hold()


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
        of_nets = [{key: each[number] for key, each in buffers.items()} for number in range(size)]
        if not module.rule.prunes:
            by_place.append([PlacePlan(width, None, own) for own in of_nets])
            continue
        rule, k = module.rule, TensorNamespace(buffers, 1)
        total = buffers["total_steps"].unsqueeze(-1)
        steps = torch.arange(int(total.max()) + 1)
        events = rule.is_event(k, steps, total).tolist()
        left = schedule.units_left(k, steps, total, buffers["goal"].unsqueeze(-1), width).tolist()
        is_last = (schedule.events_passed(k, steps, total) >= k.events).tolist()
        by_place.append(
            [PlacePlan(width, rule, *own) for own in zip(of_nets, events, left, is_last, strict=True)]
        )
    return [*map(list, zip(*by_place, strict=True))]
