"""The chart of the hypervolume after each trial."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from hebbevo.report.charts import BLUE, styled


def progress_figure(history: pd.Series[float]) -> go.Figure:
    """Draw the hypervolume after each trial, given by the number of the trial."""
    figure = go.Figure(
        go.Scatter(
            x=history.index.to_list(),
            y=history.to_list(),
            mode="lines",
            line={"shape": "hv", "width": 2.5, "color": BLUE},
            hovertemplate="trial %{x}<br>hypervolume %{y:.4f}<extra></extra>",
        )
    )
    figure.update_layout(
        showlegend=False, xaxis={"title": {"text": "trial"}}, yaxis={"title": {"text": "hypervolume"}}
    )
    return styled(figure, 300)
