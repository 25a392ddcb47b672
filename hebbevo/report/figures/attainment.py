"""The chart of attainment surfaces: what each group of searches reaches, over its seeds."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from hebbevo.report.attainment_axes import attainment_axes, steps
from hebbevo.report.charts import PALETTE, axis, styled
from hebbevo.report.formatting import count, label, number, percent
from hebbevo.study.comparison import Comparison
from hebbevo.study.score_scale import ScoreScale

HEIGHT = 560
LOOKS = {"median": ("solid", 2.5), "best": ("dot", 1.2), "worst": ("dash", 1.2)}
"""Dash and width of the line of each surface."""


def attainment_figure(comparison: Comparison) -> go.Figure:
    """Draw the best, the median and the worst attainment surface of each group.

    Args:
        comparison: what `hebbevo.compare` gives.

    Returns:
        A figure of plotly; a group has one colour, and its name once in the legend.

    Examples:
        >>> import hebbevo
        >>> few = {"population": 4, "trials": 4, "epochs": 1, "workers": 1}
        >>> studies = [hebbevo.search("stamina", study=f"{seed}.db", seed=seed, **few) for seed in (1, 2)]
        >>> figure = attainment_figure(hebbevo.compare(studies))
        >>> [trace.name for trace in figure.data if trace.showlegend]
        ['stamina']
    """
    x, y = attainment_axes(comparison)
    surfaces = comparison.attainment()
    figure = go.Figure()
    for place, group in enumerate(comparison.groups):
        for name, (dash, width) in LOOKS.items():
            own = surfaces[(surfaces["group"] == group.name) & (surfaces["surface"] == name)]
            if name != "median" and len(group.studies) == 1:
                continue
            survivors, scores = steps(own, comparison.neurons)
            figure.add_scatter(
                x=x.place(survivors).tolist(),
                y=y.place(scores).tolist(),
                mode="lines",
                line={"shape": "hv", "dash": dash, "width": width, "color": PALETTE[place % len(PALETTE)]},
                name=label(group.name),
                legendgroup=str(place),
                showlegend=name == "median",
                hoverinfo="text",
                hovertext=[
                    f"<b>{label(group.name)}</b>, {name}<br>{_score(comparison, score)} with {count(alive)} "
                    f"{comparison.count}"
                    for alive, score in zip(survivors, scores, strict=True)
                ],
            )
    figure.update_layout(
        xaxis=axis(x, f"surviving {comparison.count}"),
        yaxis=_score_axis(comparison, y),
        showlegend=True,
    )
    return styled(figure, HEIGHT)


def _score(comparison: Comparison, value: float) -> str:
    return percent(value, 2) if comparison.in_percent else f"{comparison.score} {number(value)}"


def _score_axis(comparison: Comparison, scores: ScoreScale) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "title": {"text": label(comparison.score)},
        "range": [scores.low, scores.high],
    }
    if ticks := scores.ticks():
        return settings | {"tickvals": [place for place, _ in ticks], "ticktext": [text for _, text in ticks]}
    return settings
