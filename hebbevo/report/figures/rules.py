"""The chart of the fronts of each rule, where a rule is a gene."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, product

import pandas as pd
import plotly.graph_objects as go

from hebbevo.report.charts import PALETTE, axis, styled
from hebbevo.report.constraints import survivors_axis
from hebbevo.report.formatting import hover, label
from hebbevo.report.networks import TRIAL, keys
from hebbevo.report.queries import rows
from hebbevo.report.score_axis import score_axis
from hebbevo.study.score_scale import score_scale
from hebbevo.study.view import Study


def rules_figure(study: Study, fronts: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Draw a line for each rule: the front of its trials, at the end of their trainings.

    Args:
        study: the study that has them.
        fronts: by rule, a row per trial of its front.
    """
    x, y = survivors_axis(study), score_scale(study)
    figure = go.Figure(
        [
            go.Scatter(
                x=x.place(own["survivors"]).tolist(),
                y=y.place(own["accuracy"]).tolist(),
                mode="lines+markers",
                line={"shape": "hv", "width": 1.5, "color": colour, "dash": dash},
                marker={"size": 7},
                name=label(rule),
                customdata=keys(own),
                hovertext=[hover(study, row) for row in rows(own)],
                hoverinfo="text",
                meta=TRIAL,
            )
            for (rule, own), (dash, colour) in zip(fronts.items(), cycle(product(("solid", "dot"), PALETTE)))
        ]
    )
    figure.update_layout(
        xaxis=axis(x, f"surviving {study.count}"), yaxis=score_axis(study, y, study.score), showlegend=True
    )
    return styled(figure, 480)
