"""The chart of how the networks of the front were trained."""

from __future__ import annotations

from itertools import cycle, product

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hebbevo.report.charts import PALETTE, axis, styled
from hebbevo.report.constraints import survivors_axis
from hebbevo.report.formatting import count, score
from hebbevo.report.score_axis import score_axis
from hebbevo.study.score_scale import score_scale
from hebbevo.study.view import Study

MOST = 8
"""So many trainings are drawn: more curves than colours are a tangle."""

SHARES = {"explored": "ever in", "grown_left": "grown, and still in"}
"""Columns of a curve that only networks with a growing rule for connections have, and what axes say."""


def curves_figure(study: Study) -> go.Figure:
    """Draw the score and the survivors after each epoch, for trials of the front.

    Of many trials, 8 are drawn, evenly spread along the front.

    Args:
        study: a study; without a front the chart is empty.

    Examples:
        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="curves.db", population=4, trials=4, epochs=1, workers=1)
        >>> curves_figure(study).layout.xaxis2.title.text
        'epoch'
    """
    curves = {trial: study.curve(trial) for trial in drawn_trials(study)}
    shares = (SHARES if has_shares(study) else {}) | angle_columns(study)
    rows = 2 + len(shares)
    figure = make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.12 / rows)
    x, y = survivors_axis(study), score_scale(study)
    for (trial, curve), (dash, colour) in zip(curves.items(), cycle(product(("solid", "dot"), PALETTE))):
        look = {
            "x": curve["epoch"].to_list(),
            "mode": "lines",
            "line": {"color": colour, "dash": dash, "width": 2},
            "name": f"trial {trial}",
            "legendgroup": str(trial),
            "hoverinfo": "text",
            "hovertext": [
                f"<b>trial {trial} after epoch {epoch}</b><br>{study.score} {score(study, accuracy)}<br>"
                f"survivors {count(survivors)}"
                for epoch, accuracy, survivors in curve[["epoch", "accuracy", "survivors"]].itertuples(
                    index=False
                )
            ],
        }
        figure.add_trace(go.Scatter(y=y.place(curve["accuracy"]).tolist(), **look), row=1, col=1)
        figure.add_trace(
            go.Scatter(y=x.place(curve["survivors"]).tolist(), showlegend=False, **look), row=2, col=1
        )
        for row, (name, what) in enumerate(shares.items(), start=3):
            if name in curve:
                is_angle = name not in SHARES
                shown = "{:.0f}°" if is_angle else "{:.1%}"
                texts = [f"<b>trial {trial}</b><br>{what} {shown.format(own)}" for own in curve[name]]
                share_look = {**look, "hovertext": texts}
                figure.add_trace(
                    go.Scatter(y=curve[name].tolist(), showlegend=False, **share_look), row=row, col=1
                )
                look_of_axis = {"ticksuffix": "°"} if is_angle else {"tickformat": ".0%"}
                figure.update_yaxes(title_text=what, rangemode="tozero", row=row, col=1, **look_of_axis)
    figure.update_layout(
        {f"xaxis{rows}": {"title": {"text": "epoch"}}},
        yaxis=score_axis(study, y, study.score, apart=0.08),
        yaxis2=axis(x, f"surviving {study.count}"),
        showlegend=True,
    )
    return styled(figure, 310 * rows)


def has_shares(study: Study) -> bool:
    """Whether a trial that is drawn has a rule for connections that grows."""
    return any({*SHARES} <= {*study.curve(trial)} for trial in drawn_trials(study))


def angle_columns(study: Study) -> dict[str, str]:
    """The columns of curves that are angles, and what their axes say, where trials have such layers."""
    columns = {name for trial in drawn_trials(study) for name in study.curve(trial)}
    layers = sorted(int(name.partition(".")[2]) for name in columns if name.startswith("angle."))
    return {f"angle.{layer}": f"angle of layer {layer}" for layer in layers}


def drawn_trials(study: Study) -> list[int]:
    """The trials whose curves are drawn, in the order of the front."""
    trials = [*dict.fromkeys(int(trial) for trial in study.front()["trial"])]
    if len(trials) <= MOST:
        return trials
    return [trials[round(place * (len(trials) - 1) / (MOST - 1))] for place in range(MOST)]
