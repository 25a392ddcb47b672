"""Gradual pruning: ever more connections leave, along a cubic path (Zhu & Gupta, 2017, arXiv:1710.01878).

Their equation 1 is the share s_t of pruned connections. Here the first share s_i is 0, and the last share s_f
is 1 - density. The time t goes from 0 at the end of the warm-up to 1 at the beginning of the settling phase:

    s_t = s_f + (s_i - s_f) (1 - t)^3 = s_f (1 - (1 - t)^3)    (1)

Which connections leave is the business of the rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.connections.density import DENSITY, DISTRIBUTION, EPSILON
from hebbevo.rules.connections.rule import ByCount, ConnectionLayer
from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.settling import SETTLE, is_settling, last_event_step
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor


class Gradual(ByCount):
    """Ever more connections leave along a cubic path, and none enters."""

    needs: ClassVar[Needs] = {Need.LENGTH: ()}
    knobs = table(
        DENSITY,
        Knob(
            "warmup", int, 40, "forward steps before the first connection is pruned",
            low=0, sensible=(0, 200),
        ),
        Knob(
            "prune_period", int, 10, "forward steps between prunings",
            low=1, sensible=(1, 100), log=True,
        ),
        SETTLE,
        DISTRIBUTION,
        EPSILON,
    )  # fmt: skip

    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Once a period from the end of the warm-up on, and at the last step before the settling phase."""
        last = last_event_step(k, total)
        periodic = (step % k.prune_period == 0) & (step > k.warmup)
        return (periodic | (step == last)) & ~is_settling(k, step, total)

    def left(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """How many connections equation 1 leaves, rounded, int64."""
        step, total = layer.step, layer.total
        last = last_event_step(k, total)
        first = k.warmup.minimum(last - 1)  # the density is met, however long the warm-up is
        t = ((step - first) / (last - first).clamp(min=1)).clamp(0, 1)
        pruned = (1 - layer.density) * (1 - (1 - t) ** 3)  # eq. 1
        return (layer.connections * (1 - pruned)).round().long()
