"""The section on the progress of the search."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hebbevo.objectives.pareto import hypervolume_history
from hebbevo.report.charts import BLUE, chart
from hebbevo.report.section import Section
from hebbevo.study.view import Study


def progress(study: Study) -> Section | None:
    """Make the section: the hypervolume after each trial."""
    points = study.points()
    points = points[points["feasible"] & points["works"]]
    if points.empty:
        return None
    values = points[["accuracy", "survivors"]].to_numpy(dtype=float)
    hypervolumes = hypervolume_history(values, study.chance, study.neurons)
    history = pd.Series(hypervolumes).groupby(points["trial"].to_numpy()).last()
    last = history.iloc[-1]
    settled = history.index[int(np.argmax(history >= 0.99 * last))]
    figure = go.Figure(
        go.Scatter(
            x=history.index.to_list(),
            y=history.to_list(),
            mode="lines",
            line={"shape": "hv", "width": 2.5, "color": BLUE},
            hovertemplate="trial %{x}<br>hypervolume %{y:.4f}<extra></extra>",
        )
    )
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title_text="trial")
    figure.update_yaxes(title_text="hypervolume")
    return Section(
        "Progress",
        f"<p>The hypervolume is the share of the region above chance {study.score} that the front covers: 1 "
        f"would be full {study.score} with no survivors. Trial {settled} brought it within 1 % of its last "
        f"value, {last:.4f}.</p>\n" + chart(figure, "progress", 320),
    )
