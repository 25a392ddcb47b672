"""When units are pruned, and how many: two schedules, for any score.

*threshold*: every ``prune_period`` steps the units whose score is not above a threshold, lowest first, at
most ``max_deaths`` of the living ones. *target*: at ``events`` steps, evenly spaced from ``warmup`` to the
settling phase, as many as a geometric path from all units to ``target`` has fewer; how many survive is then
what was asked for, and threshold, ``max_deaths``, ``min_neurons`` and ``grace`` do not change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.rule import Asked, Need, Needs
from hebbevo.rules.settling import SETTLE, last_event, settles
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD, TARGET = SCHEDULES = ("threshold", "target")

LENGTH: Needs = {Need.LENGTH: (Asked("settle"),)}


def knobs(default: str) -> tuple[Knob, ...]:
    """The knobs of both schedules, one of which is the default."""
    return (
        Knob(
            "schedule", str, default,
            "prune what is below a threshold, or the lowest ones down to a target",
            choices=SCHEDULES,
        ),
        Knob("warmup", int, 40, "forward steps before the first death", low=0, sensible=(0, 200)),
        Knob(
            "prune_period", int, 10, "below a threshold: forward steps between deaths",
            low=1, sensible=(1, 100), log=True,
        ),
        Knob(
            "max_deaths", float, 0.2,
            "below a threshold: largest fraction of a layer's living neurons that dies at one event",
            low=0.0, high=1.0, sensible=(0.05, 0.5),
        ),
        Knob(
            "target", int, 16,
            "down to a target: neurons left in each hidden layer; with target_share, in all of them",
            low=1, high=100_000, sensible=(4, 128), log=True,
        ),
        Knob(
            "target_share", float, 0.0,
            "down to a target: the first hidden layer's share of a target for all; 0: each layer has its own",
            low=0.0, high=1.0, sensible=(0.5, 0.9),
        ),
        Knob(
            "events", int, 20, "down to a target: events from the warm-up to the settling phase",
            low=1, sensible=(6, 60), log=True,
        ),
        Knob(
            "min_neurons", int, 2, "below a threshold: neurons of a layer that never die",
            low=0, sensible=(0, 16),
        ),
        SETTLE,
    )  # fmt: skip


def by_target(k: Any) -> Tensor:
    """Tell which networks prune down to a target."""
    found: Tensor = k.schedule == SCHEDULES.index(TARGET)
    return found


def is_event(k: Any, step: Tensor, total: Tensor) -> Tensor:
    """Tell whether units may be pruned or return after forward step ``step``, 1 being the first."""
    periodic = (step >= k.warmup) & (step > 0) & (step % k.prune_period == 0)
    passed = events_passed(k, step, total) > events_passed(k, step - 1, total)
    return passed.where(by_target(k), periodic) & ~settles(k, step, total)


def events_passed(k: Any, step: Tensor, total: Tensor) -> Tensor:
    """How many of the events on the way to a target have come by ``step``, from 0 to ``events``."""
    last = last_event(k, total)
    first = k.warmup.minimum(last - 1).clamp(min=0)  # the target is met, however long the warm-up
    span = (last - first).clamp(min=1)
    return ((step - first).clamp(min=0) * k.events // span).minimum(k.events)


def left(k: Any, step: Tensor, total: Tensor, goal: Tensor, units: int) -> Tensor:
    """Units left after ``step``, on the geometric path n (goal / n)^(e / events) from all ``units``."""
    passed = events_passed(k, step, total) / k.events
    return (units * (goal / units) ** passed).round().long()
