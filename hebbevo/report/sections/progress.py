"""How the search went."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from hebbevo.pareto import hypervolume_history
from hebbevo.report.charts import BLUE, chart
from hebbevo.report.section import Section
from hebbevo.report.source import Study, feasible


def progress(study: Study) -> Section | None:
    """The hypervolume after each trial."""
    trials = feasible(study)
    if trials.empty:
        return None
    points = trials[["accuracy", "survivors"]].to_numpy(dtype=float)
    history = hypervolume_history(points, study.chance, study.neurons)
    settled = int(trials["trial"].iloc[int(np.argmax(history >= 0.99 * history[-1]))])
    figure = go.Figure(
        go.Scatter(
            x=trials["trial"].to_list(),
            y=history.tolist(),
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
        "<p>The hypervolume is the share of the region above chance accuracy that the front covers: 1 would "
        f"be full accuracy with nothing left. Trial {settled} brought it within 1 % of its last value, "
        f"{history[-1]:.4f}.</p>\n" + chart(figure, "progress", 320),
    )
