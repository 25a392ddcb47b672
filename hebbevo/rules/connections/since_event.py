"""Sums since the last event: what a rule gathers of every minibatch between two events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hebbevo.rules.connections.rule import ConnectionLayer, ConnectionRule
from hebbevo.rules.settling import is_settling

if TYPE_CHECKING:
    from torch import Tensor


def add(rule: ConnectionRule, k: Any, layer: ConnectionLayer, sums: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Add the numbers of a minibatch to sums that start anew after every event, in place.

    In the settling phase sums stay as they are, for no event follows.

    Args:
        rule: the rule that has events, and the knob ``settle``.
        k: its knobs.
        layer: the layer after a forward step.
        sums: pairs of a sum so far, of the shape of the weights, and of what is added to it.
    """
    goes_on = ~rule.is_event(k, layer.step - 1, layer.total)
    rests = is_settling(k, layer.step, layer.total)
    for total, new in sums:
        total.copy_(total.where(goes_on | rests, 0) + new.masked_fill(rests, 0))
