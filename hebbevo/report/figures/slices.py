"""The chart of one gene: the score and the survivors of all trials against its value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hebbevo.report.charts import BLUE, GREY, axis, styled
from hebbevo.report.constraints import survivors_axis
from hebbevo.report.figures.front import dominated
from hebbevo.report.formatting import gene_value, hover, label
from hebbevo.report.networks import TRIAL, keys
from hebbevo.report.queries import complete_trials, gene_settings, rows, survivors_vary
from hebbevo.report.score_axis import score_axis
from hebbevo.study.scale import Scale, scale
from hebbevo.study.score_scale import score_scale
from hebbevo.study.view import Study

MOST = 400
"""So many trials beside the front are drawn, evenly spread over the search."""


def slice_figure(study: Study, gene: str) -> go.Figure:
    """Draw the score and the survivors of trials against the value of one gene.

    Survivors are left out where all trials have as many.

    Args:
        study: a study; of many trials 400 and the front are drawn.
        gene: name of a gene, as in the columns of `Study.trials`.

    Examples:
        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="slice.db", population=4, trials=4, epochs=1, workers=1)
        >>> slice_figure(study, "learning_rate").layout.xaxis.type
        'log'
    """
    others, front = dominated(study), study.front()
    if len(others) > MOST:
        others = others.iloc[np.linspace(0, len(others) - 1, MOST).astype(int)]
    x, y = survivors_axis(study), score_scale(study)
    across = _scale(study, gene) if "low" in gene_settings(study, gene) else None
    varies = survivors_vary(study)
    figure = make_subplots(rows=1 + varies, cols=1, shared_xaxes=True, vertical_spacing=0.07)
    for points, colour, size in ((others, GREY, 5), (front, BLUE, 8)):
        own = points[points[f"genome.{gene}"].notna()]
        values = own[f"genome.{gene}"]
        look: dict[str, Any] = {
            "x": (across.place(values.astype(float)) if across else values.map(_text)).tolist(),
            "mode": "markers",
            "marker": {"color": colour, "size": size},
            "customdata": keys(own),
            "hovertext": [hover(study, row) for row in rows(own)],
            "hoverinfo": "text",
            "meta": TRIAL,
            "showlegend": False,
        }
        figure.add_trace(go.Scatter(y=y.place(own["accuracy"]).tolist(), **look), row=1, col=1)
        if varies:
            figure.add_trace(go.Scatter(y=x.place(own["survivors"]).tolist(), **look), row=2, col=1)
    below = axis(across, label(gene)) if across else _choices(study, gene)
    scores = score_axis(study, y, study.score, apart=0.16 if varies else 0.08)
    if varies:
        figure.update_layout(
            xaxis=below | {"title": None}, xaxis2=below, yaxis=scores, yaxis2=axis(x, "survivors")
        )
    else:
        figure.update_layout(xaxis=below, yaxis=scores)
    figure.update_layout(showlegend=False)
    return styled(figure, 380 if varies else 230, top=12)


def _scale(study: Study, gene: str) -> Scale:
    settings = gene_settings(study, gene)
    values = pd.to_numeric(complete_trials(study)[f"genome.{gene}"], errors="coerce").astype(float)
    return scale([settings["low"], settings["high"], *values.dropna()])


def _choices(study: Study, gene: str) -> dict[str, Any]:
    known = [_text(choice) for choice in gene_settings(study, gene)["choices"]]
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": known,
        "title": {"text": label(gene)},
    }


def _text(value: Any) -> str:
    return label(gene_value(value))
