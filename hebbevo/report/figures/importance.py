"""The chart of how much each gene decides."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from hebbevo.report.charts import BLUE, ORANGE, styled
from hebbevo.report.formatting import label
from hebbevo.report.importance import importance
from hebbevo.study.view import Study


def importance_figure(study: Study) -> go.Figure:
    """Draw the importance of each gene for the score and for survivors (`hebbevo.report.importance`).

    Args:
        study: a study; with fewer than 20 complete trials the chart is empty.

    Examples:
        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="genes.db", population=4, trials=4, epochs=1, workers=1)
        >>> [trace.name for trace in importance_figure(study).data]
        ['accuracy', 'survivors']
    """
    return importance_bars(study, importance(study))


def importance_bars(study: Study, measured: pd.DataFrame) -> go.Figure:
    """Draw what `hebbevo.report.importance.importance` has measured."""
    table = measured.iloc[::-1]  # plotly draws the first bar at the bottom
    names = [label(gene) for gene in table["gene"]]
    figure = go.Figure(
        [
            go.Bar(
                y=names,
                x=table[measure].to_list(),
                orientation="h",
                name=study.score if measure == "accuracy" else measure,
                marker={"color": colour},
                hovertemplate="%{y}: %{x:.0%}<extra>%{fullData.name}</extra>",
            )
            for measure, colour in (("accuracy", BLUE), ("survivors", ORANGE))
        ]
    )
    figure.update_layout(
        barmode="group",
        bargap=0.3,
        xaxis={"title": {"text": "importance"}, "tickformat": ".0%", "rangemode": "tozero"},
        yaxis={"type": "category"},
        legend={"traceorder": "normal"},
    )
    return styled(figure, 150 + 44 * len(names))
