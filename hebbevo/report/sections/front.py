"""The section on the front: accuracy against surviving neurons."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from hebbevo.report.charts import BLUE, GREY, SHADE, axis, chart, log_range
from hebbevo.report.constraints import ACCURACY, LABEL, outside, survivors_axis
from hebbevo.report.formatting import (
    BEFORE_END,
    accuracy,
    count,
    gene_value,
    hover,
    percent,
    score,
    survivors,
    tick_format,
)
from hebbevo.report.queries import complete_trials, genes, is_before_end, is_on_front, rows, sizes_differ
from hebbevo.report.scale import Scale
from hebbevo.report.section import Section
from hebbevo.report.tables import table
from hebbevo.study.view import Study


def front(study: Study) -> Section | None:
    """Make the section: a chart of the front in front of all trials, and a table of the front."""
    if study.points().empty:
        return None
    trials, points = complete_trials(study), study.front()
    before_end = is_before_end(study, points)
    x = survivors_axis(study)
    others = trials[~is_on_front(trials, points)]
    figure = go.Figure(
        [
            _others(study, others, x),
            _line(points, x),
            _marks(study, points[~before_end], x, name="front"),
            *(
                [_marks(study, points[before_end], x, name=BEFORE_END, symbol="diamond-open")]
                if before_end.any()
                else []
            ),
            _upper_axis_holder(),
        ]
    )
    _shade(figure, study, x)
    figure.update_layout(
        xaxis=axis(x, f"surviving {study.count}"),
        xaxis2=_sparsity_axis(study, x),
        yaxis={"title": {"text": study.score}, "tickformat": tick_format(study)},
    )
    figure.add_hline(
        y=study.chance,
        line={"dash": "dot", "width": 1.5, "color": "#808690"},
        name=f"chance, {score(study, study.chance)}",
        showlegend=True,
    )
    parts = [f"<p>{_explanation(study, trials, points)}</p>", chart(figure, "front", 540, top=84)]
    if not points.empty:
        parts += ["<h3>The networks on the front</h3>", _table(study, points)]
    return Section("The front", "\n".join(parts))


def _explanation(study: Study, trials: pd.DataFrame, points: pd.DataFrame) -> str:
    sentences = []
    if study.goal.constraints:
        sentences.append(
            f"{trials['feasible'].sum()} of {len(trials)} trials meet the constraints "
            f"({study.goal.limits}) at the end; the shaded area lies outside them."
        )
    if points.empty:
        return " ".join([*sentences, "Point at a trial for its genome."])
    kind = "network within them" if study.goal.constraints else "network"
    sentences.append(
        f"Each point of the front is a {kind} that no other one beats in {study.score} with as few "
        f"{study.count}. Point at one for its genome."
    )
    if before_end := is_before_end(study, points).sum():
        sentences.append(
            f"{before_end} of them, the open diamonds, are networks at an earlier epoch of their training, "
            f"the last epoch with so many {study.count}."
        )
    if points["accuracy_sd"].notna().any():
        sentences.append("Error bars are one standard deviation over replicates, at the end.")
    return " ".join(sentences)


def _shade(figure: go.Figure, study: Study, x: Scale) -> None:
    look = {"fillcolor": SHADE, "line_width": 0, "layer": "below", "name": LABEL, "legendgroup": LABEL}
    for left, right in outside(study, "survivors", x):
        figure.add_vrect(x0=left, x1=right, **look)
    for low, high in outside(study, "accuracy", ACCURACY):
        figure.add_hrect(y0=low, y1=high, **look)
    if "accuracy" in study.goal.constraints:
        figure.update_yaxes(range=[ACCURACY.low, ACCURACY.high])
    if figure.layout.shapes:
        figure.layout.shapes[0].showlegend = True


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


def _line(points: pd.DataFrame, x: Scale) -> go.Scatter:
    return go.Scatter(
        x=x.place(points["survivors"]).tolist(),
        y=points["accuracy"].to_list(),
        mode="lines",
        line={"shape": "hv", "width": 2, "color": BLUE},
        hoverinfo="skip",
        showlegend=False,
    )


def _marks(study: Study, points: pd.DataFrame, x: Scale, name: str, symbol: str = "circle") -> go.Scatter:
    left, right = x.bars(points["survivors"], points["survivors_sd"]).tolist()
    bars = {"thickness": 1.2, "width": 3, "color": BLUE}
    return go.Scatter(
        x=x.place(points["survivors"]).tolist(),
        y=points["accuracy"].to_list(),
        error_x={"array": right, "arrayminus": left, **bars},
        error_y={"array": points["accuracy_sd"].fillna(0.0).to_list(), **bars},
        mode="markers",
        name=name,
        marker={"size": 9, "color": BLUE, "symbol": symbol},
        hovertext=[hover(study, row) for row in rows(points)],
        hoverinfo="text",
    )


def _upper_axis_holder() -> go.Scatter:
    # Plotly draws no axis without a trace
    return go.Scatter(x=[None], y=[None], xaxis="x2", showlegend=False)


def _sparsity_axis(study: Study, x: Scale) -> dict[str, Any]:
    ticks = x.shares(study.neurons)
    pruned = f"sparsity, % of {study.count} pruned"
    title = "% fewer than in the largest network" if sizes_differ(study) else pruned
    kind = log_range(x) if x.log else {"range": [x.low, x.high]}
    return {
        **kind,
        "title": {"text": title},
        "tickvals": [place for place, _ in ticks],
        "ticktext": [f"{100 * (1 - share):.4g}" for _, share in ticks],
        "overlaying": "x",
        "matches": "x",
        "side": "top",
        "showgrid": False,
    }


def _table(study: Study, points: pd.DataFrame) -> str:
    names = genes(study)
    header = ("trial", "epoch", study.score, "survivors", f"of its {study.count}", *names)
    return table(
        header,
        (
            (
                count(row["trial"]),
                count(row["epoch"]),
                accuracy(study, row),
                survivors(row),
                percent(row["survivors"] / row["neurons"]),
                *(gene_value(row["genome." + gene]) for gene in names),
            )
            for row in rows(points)
        ),
    )
