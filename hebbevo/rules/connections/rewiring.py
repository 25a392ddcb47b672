"""Rewiring: a layer keeps its number of connections, and at every event some of them change places.

The first mask is drawn at random with the density of the layer (`hebbevo.rules.connections.density`). At an
event the share f_t of the connections that are in leaves, and as many enter. With t from 0 at the first step
to 1 at the last one before the settling phase, and f = ``drop_fraction``,

    constant: f_t = f
    cosine:   f_t = f / 2 (1 + cos(pi t))      (1)
    linear:   f_t = f (1 - t)

The cosine is that of RigL (Evci et al., 2020, arXiv:1911.11134, section 3), which ends at 3/4 of its
training: ``settle: 0.25``. Linear and constant ones are compared with it in Dettmers & Zettlemoyer, 2019,
arXiv:1907.04840.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.connections.density import DENSITY, DISTRIBUTION, EPSILON
from hebbevo.rules.connections.rule import ByCount, ConnectionLayer
from hebbevo.rules.rule import Asked, Need, Needs
from hebbevo.rules.settling import NEEDS as OF_SETTLING
from hebbevo.rules.settling import SETTLE, is_settling, last_event_step
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor

CONSTANT, COSINE, LINEAR = DROP_SCHEDULES = ("constant", "cosine", "linear")
FIRST_STREAM, GROWTH_STREAM, WEIGHT_STREAM = range(3)
"""Streams of random numbers: of the first mask, of the connections that enter, and of their weights."""

NEEDS: Needs = {
    Need.OPTIMIZER: (),
    Need.LENGTH: (
        *OF_SETTLING[Need.LENGTH],
        Asked("drop_schedule", COSINE),
        Asked("drop_schedule", LINEAR),
    ),
}


def rewiring_knobs(*own: Knob, drop_schedule: str = CONSTANT) -> dict[str, Knob]:
    """The knobs of a rule that rewires, after its own; ``drop_schedule`` is a default."""
    return table(
        *own,
        DENSITY,
        DISTRIBUTION,
        EPSILON,
        Knob(
            "drop_fraction", float, 0.3, "fraction of a layer's connections that change places at an event",
            low=0.0, high=1.0, sensible=(0.05, 0.5),
        ),
        Knob(
            "drop_schedule", str, drop_schedule, "how this fraction falls in the training",
            choices=DROP_SCHEDULES,
        ),
        Knob(
            "rewire_period", int, 100, "forward steps between events",
            low=1, sensible=(10, 1000), log=True,
        ),
        Knob(
            "warmup", int, 0, "forward steps before the first event",
            low=0, sensible=(0, 1000),
        ),
        SETTLE,
    )  # fmt: skip


class Rewiring(ByCount):
    """A layer keeps its number of connections, and at every event some of them change places."""

    needs: ClassVar[Needs] = NEEDS

    def at_first(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """As many as the density of the layer says, drawn at random."""
        return layer.highest(layer.draw(FIRST_STREAM), self.left(k, layer), layer.mask)

    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Once a period after the warm-up, until the settling phase."""
        return (step > k.warmup) & (step % k.rewire_period == 0) & ~is_settling(k, step, total)

    def observes(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """As long as an event follows."""
        if not self.gathers:
            return super().observes(k, step, total)
        next_event = -(-step.maximum(k.warmup + 1) // k.rewire_period) * k.rewire_period
        return super().observes(k, step, total) & ~is_settling(k, next_event, total)

    def left(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """As many as the density of the layer says, at least one, int64."""
        return (layer.density * layer.connections).round().clamp(min=1).long()

    def swaps(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """The share f_t of those that are in, rounded down, int64."""
        return (self.fraction(k, layer) * layer.count(layer.mask)).floor().long()

    def fraction(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """f_t of equation 1, laid along the weights."""
        t = (layer.step / last_event_step(k, layer.total).clamp(min=1)).clamp(max=1)
        factor = (t * 0 + 1).where(
            k.drop_schedule == DROP_SCHEDULES.index(CONSTANT),
            (1 - t).where(k.drop_schedule == DROP_SCHEDULES.index(LINEAR), (1 + (math.pi * t).cos()) / 2),
        )
        fraction: Tensor = k.drop_fraction * factor
        return fraction


def he_uniform(layer: ConnectionLayer) -> Tensor:
    """Fresh weights as those at the start are drawn in hebbevo's networks: uniform in +-sqrt(6 / fan-in)."""
    return (2 * layer.draw(WEIGHT_STREAM) - 1) * math.sqrt(6 / layer.fan_in)
