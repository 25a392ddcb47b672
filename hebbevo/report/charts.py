"""The look that the page's charts share."""

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
    """``figure`` as HTML, ``height`` pixels high, ``top`` of them above the axes; ``name`` is unique there.

    The page must hold plotly.js. Its style sheet gives ink and lines their colours, for light and dark.
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
        dragmode=False,  # a finger scrolls the page; zooming is a button
        modebar={"bgcolor": "rgba(0,0,0,0)"},
    )
    figure.update_xaxes(zeroline=False, automargin=True, tickangle=0, title_standoff=8)
    figure.update_yaxes(zeroline=False, automargin=True, title_standoff=8)
    html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"chart-{name}", config=_CONFIG)
    return f'<div class="chart" style="height:{height}px">{html}</div>'


def axis(scale: Scale, title: str) -> dict[str, Any]:
    """An axis of ``scale``; ``title`` is already escaped."""
    if not scale.log:
        return {"title": {"text": title}, "range": [scale.low, scale.high]}
    places, labels = zip(*scale.ticks(), strict=True)
    return {"title": {"text": title}, **log_range(scale), "tickvals": places, "ticktext": labels}


def log_range(scale: Scale) -> dict[str, Any]:
    """A log axis's type and range, which plotly wants in powers of ten."""
    return {"type": "log", "range": [math.log10(scale.low), math.log10(scale.high)]}
