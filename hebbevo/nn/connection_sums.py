"""Sums of what rules for connections gather of every minibatch from one event to the next.

`hebbevo.rules.connections.rule.ConnectionRule.sums` names them. At an event they begin anew
(`hebbevo.nn.surgery.rewire`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from hebbevo.nn.layer_connections import LayerConnections
from hebbevo.nn.plastic import known_on_host
from hebbevo.rules.connections.rule import ConnectionRule
from hebbevo.rules.rule import Need

OF_INPUTS = frozenset({Need.INPUT_MEAN, Need.INPUT_SQUARE})
"""Needs that are one number for all connections of an input, as far as a linear layer goes."""
OF_OUTPUTS = frozenset({Need.OUTPUT_MEAN, Need.OUTPUT_SQUARE})
"""Needs that are one number for all connections of an output."""


def add_means(connections: LayerConnections) -> None:
    """Add the means of a minibatch to the sums of a rule, in place, where the rule observes this step."""
    rule, k = connections.rule, connections.k
    observed = rule.observes(k, connections.step, connections.total)
    for name, need in rule.sums.items():
        mean = connections.sums[need.name.lower()]
        connections.tensors[name].add_(mean.masked_fill(~observed, 0))


def add_means_of_rows(
    rule: ConnectionRule, k: Any, observed: Tensor, sums: Mapping[str, Tensor], x: Tensor, y: Tensor
) -> None:
    """Add up as `add_means` does, for linear layers of many networks and without a product in between.

    Args:
        rule: whose sums these are.
        k: knobs of the layer as attributes, (size, 1, 1).
        observed: which networks the rule observes at this step, (size,) bool.
        sums: (size, outputs, inputs); where all outputs or all inputs have one number, that axis may have the
            size 1. Changed in place.
        x: inputs of the layer, (size, rows, inputs).
        y: its outputs, (size, rows, outputs).
    """
    x, y = rule.signals(k, x, y)
    if not (known_on_host(observed) and observed.all()):
        rests = ~observed[:, None, None]
        x, y = x.masked_fill(rests, 0), y.masked_fill(rests, 0)
    rows = y.shape[-2]
    for name, need in rule.sums.items():
        total = sums[name]
        if need is Need.COACTIVATION:
            total.baddbmm_(y.mT, x, alpha=1 / rows)
        else:
            values = x if need in OF_INPUTS else y.mT
            values = values.square() if need in (Need.INPUT_SQUARE, Need.OUTPUT_SQUARE) else values
            total.add_(values.mean(-2 if need in OF_INPUTS else -1, keepdim=True))
