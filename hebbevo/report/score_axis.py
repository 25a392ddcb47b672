"""The settings of a chart's axis of scores."""

from __future__ import annotations

from typing import Any

from hebbevo.study.score_scale import ScoreScale
from hebbevo.study.view import Study


def score_axis(study: Study, axis: ScoreScale, title: str, apart: float = 0.04) -> dict[str, Any]:
    """The settings of a chart's axis with this scale; ``title`` is already escaped.

    Args:
        study: says how its scores are written.
        axis: the scale.
        title: of the axis.
        apart: as for `ScoreScale.ticks`.
    """
    settings: dict[str, Any] = {"title": {"text": title}, "range": [axis.low, axis.high]}
    if ticks := axis.ticks(apart):
        return settings | {"tickvals": [place for place, _ in ticks], "ticktext": [text for _, text in ticks]}
    return settings | {"tickformat": ".0%" if study.in_percent else ".2f"}
