"""The settling phase: a last part of training in which nothing is pruned, for rules of every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

SETTLE = Knob(
    "settle", float, 0.0,
    "last fraction of training without deaths or births, the learning rate falling to zero",
    low=0.0, high=0.95, sensible=(0.0, 0.5),
)  # fmt: skip


def settles(k: Any, step: Tensor, total: Tensor) -> Tensor:
    """Tell whether a step is in the last fraction ``settle`` of a training of known length."""
    return (total > 0) & (step > total * (1 - k.settle))


def last_event(k: Any, total: Tensor) -> Tensor:
    """The last step before the settling phase."""
    return (total * (1 - k.settle)).floor().long()
