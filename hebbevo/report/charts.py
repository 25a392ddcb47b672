"""The style of the charts on the page."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from hebbevo.report.networks import MEMBER, TRIAL
from hebbevo.report.scale import Scale
from hebbevo.report.templates import render

FONT = "system-ui, sans-serif"
BLUE = "#2f7fd1"
ORANGE = "#c96a10"
GREEN = "#12886a"
RED = "#d4473f"
GREY = "rgba(116, 121, 130, 0.5)"
SHADE = "rgba(128, 132, 140, 0.16)"
PALETTE = (BLUE, ORANGE, GREEN, "#c04fa8", RED, "#8466cf", "#8c7608", "#1a89a8")
"""Colours with a contrast of 3 and more to the card of the page, both the light and the dark one."""


def styled(figure: go.Figure, height: int, top: int = 36) -> go.Figure:
    """Give a figure the style that all charts share.

    Args:
        figure: is changed.
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
    return figure


def chart(figure: go.Figure, name: str, height: int, top: int = 36) -> Markup:
    """Give a figure the common style and turn it into HTML.

    The script of the page draws it. Its style sheet sets the colours of text and lines, for light and dark.

    Args:
        figure: is changed.
        name: identifies the chart; no other chart on the page may have it.
        height: of the whole chart, in pixels.
        top: space above the axes, in pixels.
    """
    return embedded(styled(figure, height, top), name)


def embedded(figure: go.Figure, name: str) -> Markup:
    """Turn a figure that is styled into HTML.

    Args:
        figure: only scatter and bar charts are drawn.
        name: identifies the chart; no other chart on the page may have it.
    """
    lean = go.Figure(figure)
    for trace in lean.data:
        if trace.meta in (MEMBER, TRIAL):  # the page knows what is said of these networks
            trace.hovertext = None
    # between script tags, nothing but the sign < can end the text
    data = lean.to_json(validate=False).replace("<", r"\u003c")
    return render("chart", name=f"chart-{name}", height=figure.layout.height, data=Markup(data))


def axis(scale: Scale, title: str) -> dict[str, Any]:
    """The settings of an axis with this scale; ``title`` is already escaped."""
    if not scale.log:
        return {"title": {"text": title}, "range": [scale.low, scale.high]}
    places, labels = zip(*scale.ticks(), strict=True)
    return {"title": {"text": title}, **log_range(scale), "tickvals": places, "ticktext": labels}


def log_range(scale: Scale) -> dict[str, Any]:
    """Type and range of a logarithmic axis, for which plotly takes exponents of ten."""
    return {"type": "log", "range": [math.log10(scale.low), math.log10(scale.high)]}
