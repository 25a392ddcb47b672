"""When units are pruned, and how many: two schedules, for any score.

- *threshold*: every ``prune_period`` steps the units whose score is not above a threshold are pruned, the
  lowest first, at most a fraction ``max_deaths`` of the living ones.
- *target*: there are E = ``events`` events, evenly spaced from ``warmup`` to the settling phase. After e of
  them a layer has n(e) units left, on a geometric path from all n units to its goal g:

      n(e) = n (g / n)^(e / E)    (1)

  How many units survive is then what was asked for. The threshold, ``max_deaths``, ``min_neurons`` and
  ``grace`` do not change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.settling import SETTLE, is_settling, last_event_step
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD, TARGET = SCHEDULES = ("threshold", "target")


def knobs(default: str) -> tuple[Knob, ...]:
    """The knobs of both schedules; ``default`` is the schedule that a rule has if the user chooses none."""
    return (
        Knob(
            "schedule", str, default,
            "prune what is below a threshold, or the lowest ones down to a target",
            choices=SCHEDULES,
        ),
        Knob(
            "warmup", int, 40, "forward steps before the first unit is pruned", low=0, sensible=(0, 200)
        ),
        Knob(
            "prune_period", int, 10, "below a threshold: forward steps between prunings",
            low=1, sensible=(1, 100), log=True,
        ),
        Knob(
            "max_deaths", float, 0.2,
            "below a threshold: largest fraction of a layer's living neurons that is pruned at one event",
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
            "min_neurons", int, 2, "below a threshold: fewest living neurons that a layer is left with",
            low=0, sensible=(0, 16),
        ),
        SETTLE,
    )  # fmt: skip


def uses_target(k: Any) -> Tensor:
    """Which networks prune down to a target, bool."""
    found: Tensor = k.schedule == SCHEDULES.index(TARGET)
    return found


def is_event(k: Any, step: Tensor, total: Tensor) -> Tensor:
    """Whether units may be pruned or regrown after forward step ``step`` of ``total``, bool."""
    periodic = (step >= k.warmup) & (step > 0) & (step % k.prune_period == 0)
    on_path = events_passed(k, step, total) > events_passed(k, step - 1, total)
    return on_path.where(uses_target(k), periodic) & ~is_settling(k, step, total)


def events_passed(k: Any, step: Tensor, total: Tensor) -> Tensor:
    """How many of the events on the path to a target are over after ``step``: e of equation 1, 0 to E."""
    last = last_event_step(k, total)
    first = k.warmup.minimum(last - 1).clamp(min=0)  # the target is met, however long the warm-up is
    span = (last - first).clamp(min=1)
    return ((step - first).clamp(min=0) * k.events // span).minimum(k.events)


def units_left(k: Any, step: Tensor, total: Tensor, goal: Tensor, units: int) -> Tensor:
    """How many units are left after ``step``: n(e) of equation 1, rounded, int64.

    Args:
        k: knobs as attributes, of a shape that goes with ``step``.
        step: forward steps so far.
        total: forward steps of the whole training.
        goal: units left in the end.
        units: units of the layer.
    """
    path = events_passed(k, step, total) / k.events
    return (units * (goal / units) ** path).round().long()  # eq. 1
