"""The answer: accuracy against what is left of the network."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from hebbevo.report.charts import BLUE, GREY, axis, chart, log_range
from hebbevo.report.scale import Scale, scale
from hebbevo.report.section import Section
from hebbevo.report.source import Study, complete, genes, rows
from hebbevo.report.tables import table
from hebbevo.report.words import accuracy, count, gene_value, hover, percent, survivors


def front(study: Study) -> Section | None:
    """The front as a chart, all trials behind it, and as a table."""
    trials, best = complete(study), study.front()
    if trials.empty:
        return None
    x = scale([*trials["survivors"], study.neurons])
    others = trials[~trials["trial"].isin(best["trial"])]
    figure = go.Figure([_others(study, others, x), _front(study, best, x), _upper_axis_holder()])
    figure.update_layout(
        xaxis=axis(x, "surviving neurons"),
        xaxis2=_sparsity_axis(x, study.neurons),
        yaxis={"title": {"text": "accuracy"}, "tickformat": ".0%"},
    )
    figure.add_hline(
        y=study.chance,
        line={"dash": "dot", "width": 1.5, "color": "#808690"},
        name=f"chance, {percent(study.chance)}",
        showlegend=True,
    )
    spread = (
        " Error bars are one standard deviation over replicates." if best["accuracy_sd"].notna().any() else ""
    )
    return Section(
        "The front",
        "<p>Each point of the front is a network that no other one beats in accuracy with as few neurons. "
        f"Point at one for its genome.{spread}</p>\n"
        + chart(figure, "front", 540, top=84)
        + "\n<h3>The networks on the front</h3>\n"
        + _table(study, best),
    )


def _others(study: Study, others: pd.DataFrame, x: Scale) -> go.Scatter:
    return go.Scatter(
        x=x.place(others["survivors"]).tolist(),
        y=others["accuracy"].to_list(),
        mode="markers",
        name="other trials",
        marker={"color": GREY, "size": 7},
        hovertext=[hover(study, row) for row in rows(others)],
        hoverinfo="text",
    )


def _front(study: Study, best: pd.DataFrame, x: Scale) -> go.Scatter:
    left, right = x.bars(best["survivors"], best["survivors_sd"]).tolist()
    bars = {"thickness": 1.2, "width": 3, "color": BLUE}
    return go.Scatter(
        x=x.place(best["survivors"]).tolist(),
        y=best["accuracy"].to_list(),
        error_x={"array": right, "arrayminus": left, **bars},
        error_y={"array": best["accuracy_sd"].fillna(0.0).to_list(), **bars},
        mode="lines+markers",
        name="front",
        line={"shape": "hv", "width": 2, "color": BLUE},
        marker={"size": 9, "color": BLUE},
        hovertext=[hover(study, row) for row in rows(best)],
        hoverinfo="text",
    )


def _upper_axis_holder() -> go.Scatter:
    return go.Scatter(
        x=[None], y=[None], xaxis="x2", showlegend=False
    )  # an axis without a trace is not drawn


def _sparsity_axis(x: Scale, neurons: int) -> dict[str, Any]:
    ticks = x.shares(neurons)
    kind = log_range(x) if x.log else {"range": [x.low, x.high]}
    return {
        **kind,
        "title": {"text": "sparsity, % of neurons gone"},
        "tickvals": [place for place, _ in ticks],
        "ticktext": [f"{100 * (1 - share):.4g}" for _, share in ticks],
        "overlaying": "x",
        "matches": "x",
        "side": "top",
        "showgrid": False,
    }


def _table(study: Study, best: pd.DataFrame) -> str:
    header = ("trial", "accuracy", "survivors", "of the neurons", *genes(study))
    return table(
        header,
        (
            (
                count(row["trial"]),
                accuracy(row),
                survivors(row),
                percent(row["survivors"] / study.neurons),
                *(gene_value(row["genome." + gene]) for gene in genes(study)),
            )
            for row in rows(best)
        ),
    )
