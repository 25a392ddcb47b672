"""Masked connections of layers that the native engine trains.

The engine computes with weights of zero where connections are out, and keeps them zero. Events are those of
`hebbevo.nn.surgery`, on tensors of all units of a layer, dead ones included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from hebbevo.nn import surgery
from hebbevo.nn.layer_connections import LayerConnections, of_parameter
from hebbevo.nn.layer_context import between_living
from hebbevo.nn.plastic import TensorNamespace
from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.rules.rule import Need

_MEANS = {
    Need.COACTIVATION,
    Need.INPUT_MEAN,
    Need.OUTPUT_MEAN,
    Need.INPUT_SQUARE,
    Need.OUTPUT_SQUARE,
}
_DUE = torch.ones((), dtype=torch.bool)


def is_served(rule: ConnectionRule) -> bool:
    """Whether the engine has all that a rule needs: masks, weights and their last gradients."""
    return not (rule.keeps_weights or rule.sums or _MEANS & rule.all_needs().keys())


@dataclass(frozen=True)
class MaskedLayer:
    """The connections of a layer, of one net or, with a leading axis in every tensor, of many.

    Attributes:
        rule: the rule that prunes them.
        knobs: knobs, steps and seed of their module by name, () each.
        tensors: the mask and all else with a number for each connection, (outputs, inputs) each.
        events: whether connections may leave or enter after each step, from step 0, (steps + 1,) bool.
        observed: whether the rule observes the weights in the step that follows each step, likewise.
    """

    rule: ConnectionRule
    knobs: dict[str, Tensor]
    tensors: dict[str, Tensor]
    events: Tensor
    observed: Tensor

    @classmethod
    def of(cls, rule: ConnectionRule, knobs: dict[str, Tensor], tensors: dict[str, Tensor]) -> MaskedLayer:
        """The connections of a layer of many nets, before the first step."""
        k, total = TensorNamespace(knobs, 1), knobs["total_steps"].unsqueeze(-1)
        steps, shape = torch.arange(int(total.max()) + 1), (len(total), -1)
        events = rule.is_event(k, steps, total).expand(shape) & (steps > 0)
        observed = torch.zeros_like(events)
        if rule.gathers:
            observed = rule.observes(k, steps + 1, total).expand(shape) & (steps < total)
        return cls(rule, knobs, tensors, events.contiguous(), observed.contiguous())

    def at(self, rows: Tensor | int) -> MaskedLayer:
        """The connections of some nets, or of one, to whose memory it has views."""
        return replace(
            self,
            knobs={name: each[rows] for name, each in self.knobs.items()},
            tensors={name: each[rows] for name, each in self.tensors.items()},
            events=self.events[rows],
            observed=self.observed[rows],
        )

    def rewire(
        self,
        step: int,
        loss: float,
        weight: Tensor,
        moments: Sequence[Tensor],
        outputs: Tensor,
        inputs: Tensor,
    ) -> None:
        """Let connections of one net leave and enter after a step.

        Args:
            step: number of the step.
            loss: running mean of the training loss.
            weight: of all units, (outputs, inputs); changed in place.
            moments: optimiser state of the weights, each of their shape; changed in place.
            outputs: which outputs feed living units, (outputs,) bool.
            inputs: which inputs come from living units, (inputs,) bool.
        """
        self.knobs["steps"].fill_(step)
        layer = self.layer(weight, torch.tensor(loss))
        living = partial(between_living, weight, outputs, lambda: inputs)
        surgery.rewire(replace(layer, find_living=living), _DUE, moments)

    def observe(self, step: int, weight: Tensor) -> None:
        """Show the rule of one net the weights of all units, (outputs, inputs), in a step."""
        self.knobs["steps"].fill_(step)
        layer = self.layer(weight)
        self.rule.observe(layer.k, layer.s, layer)

    def layer(self, weight: Tensor, loss: Tensor | None = None) -> LayerConnections:
        """The connections as rules see them, with the weights of all units."""
        knobs, connections = of_parameter(self.knobs, 0), weight.shape[-2] * weight.shape[-1]
        return LayerConnections(self.rule, knobs, self.tensors, weight, connections, mean_loss=loss)

    def state(self, name: str, steps: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The buffers of their module as they are after this many steps of each net, by their names."""
        for key, each in self.knobs.items():
            yield f"{name}.{key}", steps if key == "steps" else each
        for key, each in self.tensors.items():
            yield f"{name}.connections.0.{key}", each


def stops(layers: Sequence[MaskedLayer]) -> Tensor:
    """After which steps a layer of one net has an event, or observes its weights, (steps + 1,) bool."""
    return torch.stack([each.events | each.observed for each in layers]).any(0)
