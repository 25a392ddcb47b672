"""Where on a chart the constraints are missed."""

from __future__ import annotations

from hebbevo.report.queries import Study, complete
from hebbevo.report.scale import Scale, scale

LABEL = "outside the constraints"
ACCURACY = Scale(False, -0.04, 1.04)
"""The axis of accuracy where it has limits: all of it, so that they are in sight."""


def survivors_axis(study: Study) -> Scale:
    """The axis of survivors: every trial, the front, all neurons, and the limits that are below them."""
    limits = study.goal.constraints.get("survivors", ())
    below = [bound for bound in limits if bound is not None and bound < study.neurons]
    shown = (*complete(study)["survivors"], *study.front()["survivors"])
    return scale([*shown, study.neurons, *below])


def missed(study: Study, measure: str, axis: Scale) -> list[tuple[float, float]]:
    """The parts of the measure's axis, from place to place, that are outside its limits."""
    limits = study.goal.constraints.get(measure, (None, None))
    least, most = (None if bound is None else float(axis.place(bound)) for bound in limits)
    below = (axis.low, axis.low if least is None else min(least, axis.high))
    above = (axis.high if most is None else max(most, axis.low), axis.high)
    return [(start, end) for start, end in (below, above) if start < end]
