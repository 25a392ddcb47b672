"""The chart of what a linear readout of each hidden layer reaches, beside random weights."""

from __future__ import annotations

from itertools import cycle

import plotly.graph_objects as go

from hebbevo.report.charts import PALETTE, styled
from hebbevo.report.formatting import label, score
from hebbevo.study.view import Study

MOST = 6
"""So many trials are drawn, the most accurate ones: each has two lines."""

_HEIGHT = 420


def decoding_figure(study: Study) -> go.Figure:
    """Draw, for the most accurate trials, the score of a readout of each layer: learned, and random weights.

    Args:
        study: a study; without such figures the chart is empty.

    Examples:
        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="plain.db", population=4, trials=4, epochs=1, workers=1)
        >>> len(decoding_figure(study).data)
        0
    """
    figure = go.Figure()
    table = study.decoding()
    for trial, colour in zip(decoded_trials(study), cycle(PALETTE)):
        own = table[table["trial"] == trial]
        for weights, dash in (("learned", "solid"), ("random", "dot")):
            figure.add_scatter(
                x=own["layer"].tolist(),
                y=own[weights].tolist(),
                mode="lines+markers",
                line={"color": colour, "dash": dash, "width": 2},
                name=f"trial {trial}, {weights}",
                legendgroup=str(trial),
                hoverinfo="text",
                hovertext=[
                    f"<b>trial {trial}, layer {layer}</b><br>{weights} weights: {score(study, value)}"
                    for layer, value in zip(own["layer"], own[weights], strict=True)
                ],
            )
    layers = sorted({*table["layer"].tolist()})
    figure.update_layout(
        xaxis={"title": {"text": "layer"}, "tickvals": layers},
        yaxis={
            "title": {"text": f"{label(study.score)} of a linear readout"},
            "tickformat": ".0%" if study.in_percent else ".2f",
        },
        showlegend=True,
    )
    return styled(figure, _HEIGHT)


def decoded_trials(study: Study) -> list[int]:
    """The trials that are drawn, the most accurate first."""
    trials = study.trials()
    complete = trials[trials["trial"].isin(study.decoding()["trial"]) & trials["copy_of"].isna()]
    best = complete.sort_values("accuracy", ascending=False, kind="stable")
    return [int(trial) for trial in best["trial"].head(MOST)]
