"""The parts of a chart that lie outside the constraints."""

from __future__ import annotations

from hebbevo.report.queries import complete_trials
from hebbevo.study.scale import Scale, scale
from hebbevo.study.score_scale import ScoreScale
from hebbevo.study.view import Study

LABEL = "outside the constraints"


def survivors_axis(study: Study) -> Scale:
    """The axis of survivors, which covers all trials, the front, and limits below the number of neurons."""
    limits = study.goal.constraints.get("survivors", ())
    below = [bound for bound in limits if bound is not None and bound < study.neurons]
    shown = (*complete_trials(study)["survivors"], *study.front()["survivors"])
    return scale([*shown, study.neurons, *below])


def outside(study: Study, measure: str, axis: Scale | ScoreScale) -> list[tuple[float, float]]:
    """The intervals of the axis of a measure, ``accuracy`` or ``survivors``, that are outside its limits.

    Returns:
        At most two pairs of start and end, in the units of the drawn axis.
    """
    limits = study.goal.constraints.get(measure, (None, None))
    least, most = (None if bound is None else float(axis.place(bound)) for bound in limits)
    below = (axis.low, axis.low if least is None else min(least, axis.high))
    above = (axis.high if most is None else max(most, axis.low), axis.high)
    return [(start, end) for start, end in (below, above) if start < end]
