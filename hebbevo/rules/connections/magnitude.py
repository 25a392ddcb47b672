"""Magnitude: the smallest weights are pruned gradually (Zhu & Gupta, 2017, arXiv:1710.01878)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.connections.rule import ByCount, Link
from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.settling import SETTLE, last_event, settles
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor


class Magnitude(ByCount):
    """The pruned share is s_f (1 - (1 - t)^3), t going from 0 to 1 (their equation 1 from a dense start)."""

    name = "magnitude"
    needs: ClassVar[Needs] = {Need.LENGTH: ()}
    knobs = table(
        Knob(
            "density", float, 0.1, "fraction of a layer's connections that is left in the end",
            low=0.0, high=1.0, sensible=(0.01, 1.0), log=True,
        ),
        Knob(
            "warmup", int, 40, "forward steps before the first connection is pruned",
            low=0, sensible=(0, 200),
        ),
        Knob(
            "prune_period", int, 10, "forward steps between prunings",
            low=1, sensible=(1, 100), log=True,
        ),
        SETTLE,
    )  # fmt: skip

    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Once a period, from the end of the warm-up to the settling phase; the last begins that."""
        last = last_event(k, total)
        periodic = (step % k.prune_period == 0) & (step > k.warmup)
        return (periodic | (step == last)) & ~settles(k, step, total)

    def left(self, k: Any, link: Link) -> Tensor:
        """As many as the cubic path says."""
        step, total = link.step, link.total
        last = last_event(k, total)
        first = k.warmup.minimum(last - 1)  # the density is met, however long the warm-up
        t = ((step - first) / (last - first).clamp(min=1)).clamp(0, 1)
        pruned = (1 - k.density) * (1 - (1 - t) ** 3)
        return (link.connections * (1 - pruned)).round().long()

    def drop(self, k: Any, s: Any, link: Link) -> Tensor:
        """|w|."""
        return link.weight.abs()
