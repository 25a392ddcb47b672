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
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    x, y = survivors_axis(study), score_scale(study)
    for trial, (dash, colour) in zip(drawn_trials(study), cycle(product(("solid", "dot"), PALETTE))):
        curve = study.curve(trial)
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
                for epoch, accuracy, survivors in curve.itertuples(index=False)
            ],
        }
        figure.add_trace(go.Scatter(y=y.place(curve["accuracy"]).tolist(), **look), row=1, col=1)
        figure.add_trace(
            go.Scatter(y=x.place(curve["survivors"]).tolist(), showlegend=False, **look), row=2, col=1
        )
    figure.update_layout(
        xaxis2={"title": {"text": "epoch"}},
        yaxis=score_axis(study, y, study.score, apart=0.08),
        yaxis2=axis(x, f"surviving {study.count}"),
        showlegend=True,
    )
    return styled(figure, 620)


def drawn_trials(study: Study) -> list[int]:
    """The trials whose curves are drawn, in the order of the front."""
    trials = [*dict.fromkeys(int(trial) for trial in study.front()["trial"])]
    if len(trials) <= MOST:
        return trials
    return [trials[round(place * (len(trials) - 1) / (MOST - 1))] for place in range(MOST)]
