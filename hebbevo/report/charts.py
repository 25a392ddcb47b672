"""The style of the charts on the page."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from hebbevo.report.networks import MEMBER, TRIAL
from hebbevo.report.templates import render
from hebbevo.study.scale import Scale

FONT = "system-ui, sans-serif"
BLUE = "#2f7fd1"
ORANGE = "#c96a10"
GREEN = "#12886a"
RED = "#d4473f"
PURPLE = "#8466cf"
GREY = "rgba(116, 121, 130, 0.5)"
SHADE = "rgba(128, 132, 140, 0.16)"
PALETTE = (BLUE, ORANGE, GREEN, "#c04fa8", RED, PURPLE, "#8c7608", "#1a89a8")
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
        figure: scatter and bar charts; a heatmap of equal cells is drawn as bars, for the page has the basic
            bundle of plotly.js.
        name: identifies the chart; no other chart on the page may have it.
    """
    traces = [_as_bars(trace) if trace.type == "heatmap" else trace for trace in figure.data]
    lean = go.Figure(traces, figure.layout)
    for trace in lean.data:
        if trace.meta in (MEMBER, TRIAL):  # the page knows what is said of these networks
            trace.hovertext = None
    # between script tags, nothing but the sign < can end the text
    data = lean.to_json(validate=False).replace("<", r"\u003c")
    return render("chart", name=f"chart-{name}", height=figure.layout.height, data=Markup(data))


def _as_bars(heatmap: go.Heatmap) -> go.Bar:
    """Draw the cells of a heatmap as bars that stand on each other; cells without a value are left out."""
    xs, ys, shares = list(heatmap.x), list(heatmap.y), [list(row) for row in heatmap.z]
    texts = heatmap.text if heatmap.text is not None else [[""] * len(xs)] * len(ys)
    wide, high = (values[1] - values[0] if len(values) > 1 else 1 for values in (xs, ys))
    cells = [
        (x, y - high / 2, share, text)
        for y, row, own in zip(ys, shares, texts, strict=True)
        for x, share, text in zip(xs, row, own, strict=True)
        if share is not None and share == share
    ]
    colours = {
        "color": [share for _, _, share, _ in cells],
        "colorscale": heatmap.colorscale,
        "cmin": heatmap.zmin,
        "cmax": heatmap.zmax,
        "colorbar": heatmap.colorbar.to_plotly_json(),
    }
    return go.Bar(
        x=[x for x, _, _, _ in cells],
        base=[base for _, base, _, _ in cells],
        y=[0.96 * high] * len(cells),
        width=0.97 * wide,
        marker=colours,
        hovertext=[text for _, _, _, text in cells],
        hoverinfo="text",
        showlegend=False,
    )


def axis(scale: Scale, title: str) -> dict[str, Any]:
    """The settings of an axis with this scale; ``title`` is already escaped."""
    if not scale.log:
        return {"title": {"text": title}, "range": [scale.low, scale.high]}
    places, labels = zip(*scale.ticks(), strict=True)
    return {"title": {"text": title}, **log_range(scale), "tickvals": places, "ticktext": labels}


def log_range(scale: Scale) -> dict[str, Any]:
    """Type and range of a logarithmic axis, for which plotly takes exponents of ten."""
    return {"type": "log", "range": [math.log10(scale.low), math.log10(scale.high)]}
