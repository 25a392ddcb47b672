"""The charts of a window: the share of usable trials along a knob, and over the knob and another gene."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import plotly.graph_objects as go

from hebbevo.report.charts import BLUE, PALETTE
from hebbevo.report.formatting import label
from hebbevo.space import FloatGene, IntGene
from hebbevo.study.knob_axis import KnobAxis
from hebbevo.study.view import Study
from hebbevo.study.window import ALL, UsableRange, Window, default_knob

THRESHOLD = "hebbian_threshold"
_WIDTH = 0.6  # of a cell, for the marks in it
_INK = "rgba(128, 132, 140, 0.9)"
_SCALE = [[0.0, "rgba(47, 127, 209, 0.06)"], [1.0, "rgba(47, 127, 209, 1)"]]


def window_figure(study: Study, knob: str | None = None, by: str | None = None, **usable: Any) -> go.Figure:
    """Draw the share of usable trials in each part of a knob, with Wilson 95 % intervals.

    The window is shaded from edge to edge. Groups are drawn if there are enough trials to tell them apart.

    Args:
        study: the study.
        knob: a numeric gene, as for `hebbevo.Study.window`.
        by: a gene whose values are compared, likewise.
        usable: ``min_lost`` and ``within``, likewise.

    Raises:
        UsageError: there is no such gene, or a number is out of range.

    Examples:
        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="drawn.db", population=4, trials=4, epochs=1, workers=1)
        >>> [trace.name for trace in window_figure(study).data]
        ['all trials']
    """
    return shares_figure(study.window(knob, by, **usable))


def shares_figure(window: Window) -> go.Figure:
    """Draw the shares of a window as `window_figure` does."""
    figure = go.Figure()
    groups = [each.group for each in window.ranges[1:]]
    half = len(groups) // 2  # all trials are drawn in the middle of a cell, between the groups
    colours = _colours(len(groups))
    drawn = [*zip(groups, colours, strict=True)]
    drawn = [*drawn[:half], (ALL, _INK), *drawn[half:]]
    for number, (group, colour) in enumerate(drawn):
        cells = window.shares[window.shares["group"] == group].reset_index(drop=True)
        cells = cells[cells["trials"] > 0]
        x = cells.index + 0.5 + (number - half) * _WIDTH / len(drawn)
        name = "all trials" if group == ALL else group
        figure.add_trace(
            go.Scatter(
                x=x.tolist(),
                y=cells["share"].tolist(),
                error_y={
                    "array": (cells["share_high"] - cells["share"]).tolist(),
                    "arrayminus": (cells["share"] - cells["share_low"]).tolist(),
                    "thickness": 1.5,
                    "width": 3,
                },
                mode="markers" if group != ALL else "lines+markers",
                name=label(name),
                marker={"color": colour, "size": 8, "symbol": "circle" if group != ALL else "diamond"},
                line={"color": colour, "width": 1.5},
                hovertext=[_hover(window.knob, name, cell) for cell in cells.to_dict("records")],
                hoverinfo="text",
            )
        )
    for whole in window.ranges[:1]:
        for start, end in _shaded(whole, window.axis):
            figure.add_vrect(x0=start, x1=end, fillcolor=BLUE, opacity=0.12, line_width=0, layer="below")
    figure.update_layout(
        xaxis=_axis(window.axis, label(window.knob)),
        yaxis={"title": {"text": "share of usable trials"}, "tickformat": ".0%", "rangemode": "tozero"},
        showlegend=bool(groups),
    )
    return figure


def map_figure(window: Window, other: FloatGene | IntGene) -> go.Figure:
    """Draw the share of usable trials over the cells of the knob and of another numeric gene."""
    cells, axis = window.grid(other)
    share = cells.pivot(index="row", columns="column", values="share")
    rows = cells.sort_values(["row", "column"]).to_dict("records")
    columns = len(window.axis.cells)
    texts = [
        f"{label(window.knob)} {window.axis.cells[cell['column']].text}<br>"
        f"{label(other.name)} {axis.cells[cell['row']].text}<br>"
        f"{cell['usable']} of {cell['trials']} trials usable"
        for cell in rows
    ]
    figure = go.Figure(
        go.Heatmap(
            x=[number + 0.5 for number in range(columns)],
            y=[number + 0.5 for number in range(len(axis.cells))],
            z=[[None if value != value else value for value in row] for row in share.to_numpy()],
            zmin=0.0,
            zmax=1.0,
            colorscale=_SCALE,
            colorbar={"title": {"text": "usable"}, "tickformat": ".0%", "thickness": 14},
            text=[texts[start : start + columns] for start in range(0, len(texts), columns)],
            hoverinfo="text",
            xgap=1,
            ygap=1,
        )
    )
    figure.update_layout(
        xaxis=_axis(window.axis, label(window.knob)),
        yaxis=_axis(axis, label(other.name)),
        showlegend=False,
    )
    return figure


def map_gene(study: Study, window: Window) -> FloatGene | IntGene | None:
    """The gene of the map: the threshold, without it the one that correlates most; ``None`` without one."""
    numeric = {
        gene.name: gene
        for gene in study.space.genes
        if isinstance(gene, FloatGene | IntGene) and gene.name != window.knob
    }
    if THRESHOLD in numeric:
        return numeric[THRESHOLD]
    name = default_knob(tuple(numeric.values()), window.trials)
    return None if name is None else numeric[name]


def _colours(count: int) -> list[str]:
    return [colour for _, colour in zip(range(count), cycle(PALETTE))]


def _hover(knob: str, group: str, cell: dict[Any, Any]) -> str:
    low, high = (f"{100 * cell[end]:.0f}" for end in ("share_low", "share_high"))
    share = f"{100 * cell['share']:.0f} % ({low} to {high} %)"
    return (
        f"<b>{label(group)}</b><br>{label(knob)} {cell['cell']}<br>"
        f"{share} usable<br>{cell['usable']} of {cell['trials']} trials"
    )


def _shaded(whole: UsableRange, axis: KnobAxis) -> Iterator[tuple[float, float]]:
    """The part of the chart between the edges, or up to the end of the range."""
    if whole.lower is None and whole.upper is None:
        return
    ends = (float(axis.has_zero), float(len(axis.cells)))
    start, end = (
        bound if edge is None else float(axis.positions([edge.place])[0])
        for edge, bound in zip((whole.lower, whole.upper), ends, strict=True)
    )
    yield start, end


def _axis(axis: KnobAxis, title: str) -> dict[str, Any]:
    places, labels = zip(*axis.ticks(), strict=True)
    return {
        "title": {"text": title},
        "range": [0, len(axis.cells)],
        "tickvals": places,
        "ticktext": labels,
    }
