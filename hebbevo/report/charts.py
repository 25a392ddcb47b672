"""The style of the charts on the page."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go

from hebbevo.report.scale import Scale

FONT = "system-ui, sans-serif"
BLUE = "#2f7fd1"
GREY = "rgba(128, 132, 140, 0.38)"
SHADE = "rgba(128, 132, 140, 0.16)"
PALETTE = ("#2f7fd1", "#e07b1a", "#16a07a", "#c65bb0", "#d4473f", "#8a6fd1", "#a38a12", "#2ba7c4")

_CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtons": [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
}


def chart(figure: go.Figure, name: str, height: int, top: int = 36) -> str:
    """Give a figure the common style and turn it into HTML.

    The page must include plotly.js. Its style sheet sets the colours of text and lines, for light and dark.

    Args:
        figure: is changed.
        name: identifies the chart; no other chart on the page may have it.
        height: of the whole chart, in pixels.
        top: space above the axes, in pixels.
    """
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 64, "r": 16, "t": top, "b": 88 if figure.layout.showlegend is not False else 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 13},
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0.01, "yanchor": "bottom"},
        hoverlabel={"align": "left", "font": {"family": FONT}},
        hovermode="closest",
        dragmode=False,  # on a touch screen a drag scrolls the page; there are buttons for zooming
        modebar={"bgcolor": "rgba(0,0,0,0)"},
    )
    figure.update_xaxes(zeroline=False, automargin=True, tickangle=0, title_standoff=8)
    figure.update_yaxes(zeroline=False, automargin=True, title_standoff=8)
    html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"chart-{name}", config=_CONFIG)
    return f'<div class="chart" style="height:{height}px">{html}</div>'


def axis(scale: Scale, title: str) -> dict[str, Any]:
    """The settings of an axis with this scale; ``title`` is already escaped."""
    if not scale.log:
        return {"title": {"text": title}, "range": [scale.low, scale.high]}
    places, labels = zip(*scale.ticks(), strict=True)
    return {"title": {"text": title}, **log_range(scale), "tickvals": places, "ticktext": labels}


def log_range(scale: Scale) -> dict[str, Any]:
    """Type and range of a logarithmic axis, for which plotly takes exponents of ten."""
    return {"type": "log", "range": [math.log10(scale.low), math.log10(scale.high)]}
