"""The chart of parallel coordinates: every gene and both measures side by side, a line for each trial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hebbevo.report.charts import BLUE, FONT, GREY, styled
from hebbevo.report.constraints import survivors_axis
from hebbevo.report.figures.front import dominated
from hebbevo.report.formatting import gene_value, hover, label, number
from hebbevo.report.networks import TRIAL, keys
from hebbevo.report.queries import gene_settings, genes, rows
from hebbevo.study.scale import scale
from hebbevo.study.score_scale import score_scale
from hebbevo.study.view import Study

MOST = 300
"""So many trials beside the front are drawn, evenly spread over the search."""
_MOST_IN_LINE = 9  # titles of more axes than these stand in two rows


@dataclass(frozen=True)
class _Axis:
    """One upright axis: places from 0 to 1, NaN for an inactive gene, and labels at some of them."""

    title: str
    places: list[float]
    ticks: list[tuple[float, str]]


def parallel_figure(study: Study) -> go.Figure:
    """Draw a line for each trial through its genes, its survivors and its score; those of the front in front.

    Args:
        study: a study; of many trials 300 and the front are drawn.

    Examples:
        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="lines.db", population=4, trials=4, epochs=1, workers=1)
        >>> parallel_figure(study).data[0].name
        'other trials'
    """
    others, front = dominated(study), study.front()
    if len(others) > MOST:
        others = others.iloc[np.linspace(0, len(others) - 1, MOST).astype(int)]
    shown = pd.concat([others[front.columns], front], ignore_index=True)
    axes = [*(_of_gene(study, shown, gene) for gene in genes(study)), *_of_measures(study, shown)]
    heights = np.array([axis.places for axis in axes]).T
    ends = (0, len(others)), (len(others), len(shown))
    figure = go.Figure([_background(heights[slice(*ends[0])])])
    for place, row in enumerate(rows(front), start=len(others)):
        figure.add_trace(
            go.Scatter(
                x=list(range(len(axes))),
                y=_plain(heights[place]),
                mode="lines+markers",
                connectgaps=True,
                name="front",
                legendgroup="front",
                showlegend=place == len(others),
                line={"color": BLUE, "width": 1.5},
                marker={"size": 5, "color": BLUE},
                customdata=keys(front.iloc[[place - len(others)]]) * len(axes),
                hovertext=[hover(study, row)] * len(axes),
                meta=TRIAL,
                hoverinfo="text",
            )
        )
    for place, axis in enumerate(axes):
        figure.add_vline(x=place, line={"width": 1, "color": "#808690"}, layer="below")
        for height, text in axis.ticks:
            figure.add_annotation(
                x=place,
                y=height,
                text=text,
                showarrow=False,
                xanchor="left" if place < len(axes) - 1 else "right",
                xshift=4 if place < len(axes) - 1 else -4,
                font={"size": 11, "family": FONT},
            )
    figure.update_layout(
        xaxis={
            "tickvals": list(range(len(axes))),
            "ticktext": [_below(axis.title, place, len(axes)) for place, axis in enumerate(axes)],
            "ticklabeloverflow": "allow",
            "automargin": True,
            "range": [-0.15, len(axes) - 0.85],
            "showgrid": False,
        },
        yaxis={"visible": False, "range": [-0.06, 1.06]},
        showlegend=True,
    )
    return styled(figure, 520)


def _below(title: str, place: int, axes: int) -> str:
    """A title two lines lower at every other one of many axes, so that long ones do not overlap."""
    return f"<br><br>{title}" if axes > _MOST_IN_LINE and place % 2 else title


def _background(heights: np.ndarray) -> go.Scatter:
    """All other trials as one line with gaps, which is far faster than a trace for each."""
    x, y = [], []
    for own in heights:
        known = np.flatnonzero(np.isfinite(own))
        x += [*known.tolist(), None]
        y += [*own[known].tolist(), None]
    line = {"color": GREY.replace("0.5)", "0.25)"), "width": 1}
    return go.Scatter(x=x, y=y, mode="lines", name="other trials", line=line, hoverinfo="skip")


def _plain(heights: np.ndarray) -> list[float | None]:
    return [round(float(each), 4) if np.isfinite(each) else None for each in heights]


def _of_gene(study: Study, shown: pd.DataFrame, gene: str) -> _Axis:
    column = shown[f"genome.{gene}"]
    title = label(gene).replace("_", "_<br>")
    settings = gene_settings(study, gene)
    if "low" not in settings:
        texts = column.map(gene_value)
        known = list(dict.fromkeys(gene_value(choice) for choice in settings["choices"]))
        step = 1 / max(len(known) - 1, 1)
        places = {text: step * place if len(known) > 1 else 0.5 for place, text in enumerate(known)}
        ticks = [(place, label(text[:12])) for text, place in places.items()]
        return _Axis(title, [places.get(text, np.nan) for text in texts], ticks)
    values = pd.to_numeric(column, errors="coerce").astype(float)
    ends = scale([settings["low"], settings["high"], *values.dropna()])
    if ends.log:
        drawn = np.log(ends.place(values))
        low, high = np.log([max(ends.low * 1.25, ends.zero), ends.high / 1.25])
    else:
        drawn = values.to_numpy(float)
        low, high = (min(settings["low"], values.min()), max(settings["high"], values.max()))
    heights = (drawn - low) / ((high - low) or 1.0)
    return _Axis(title, heights.tolist(), [(0.0, number(settings["low"])), (1.0, number(settings["high"]))])


def _of_measures(study: Study, shown: pd.DataFrame) -> list[_Axis]:
    x, y = survivors_axis(study), score_scale(study)
    places = np.log(x.place(shown["survivors"])) if x.log else x.place(shown["survivors"])
    low, high = (np.log(x.low), np.log(x.high)) if x.log else (x.low, x.high)
    ticks = [(float((np.log(at) - low) / (high - low)), text) for at, text in x.ticks()] if x.log else []
    scores = (y.place(shown["accuracy"]) - y.low) / (y.high - y.low)
    labels = [((at - y.low) / (y.high - y.low), text) for at, text in y.ticks()]
    return [
        _Axis("survivors", ((places - low) / (high - low)).tolist(), ticks[::2]),
        _Axis(study.score, scores.tolist(), labels),
    ]
