"""The answer: accuracy against what is left of the network."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from hebbevo.report.charts import BLUE, GREY, SHADE, axis, chart, log_range
from hebbevo.report.constraints import ACCURACY, LABEL, missed, survivors_axis
from hebbevo.report.formatting import EARLIER, accuracy, count, gene_value, hover, percent, survivors
from hebbevo.report.queries import Study, complete, earlier, genes, on_front, rows, sizes_differ
from hebbevo.report.scale import Scale
from hebbevo.report.section import Section
from hebbevo.report.tables import table


def front(study: Study) -> Section | None:
    """The front as a chart, all trials behind it, and as a table."""
    if study.points().empty:
        return None
    trials, best = complete(study), study.front()
    early = earlier(study, best)
    x = survivors_axis(study)
    others = trials[~on_front(study, trials)]
    figure = go.Figure(
        [
            _others(study, others, x),
            _line(best, x),
            _marks(study, best[~early], x, name="front"),
            *([_marks(study, best[early], x, name=EARLIER, symbol="diamond-open")] if early.any() else []),
            _upper_axis_holder(),
        ]
    )
    _shade(figure, study, x)
    figure.update_layout(
        xaxis=axis(x, f"surviving {study.count}"),
        xaxis2=_sparsity_axis(study, x),
        yaxis={"title": {"text": "accuracy"}, "tickformat": ".0%"},
    )
    figure.add_hline(
        y=study.chance,
        line={"dash": "dot", "width": 1.5, "color": "#808690"},
        name=f"chance, {percent(study.chance)}",
        showlegend=True,
    )
    parts = [f"<p>{_told(study, trials, best)}</p>", chart(figure, "front", 540, top=84)]
    if not best.empty:
        parts += ["<h3>The networks on the front</h3>", _table(study, best)]
    return Section("The front", "\n".join(parts))


def _told(study: Study, trials: pd.DataFrame, best: pd.DataFrame) -> str:
    told = []
    if study.goal.constraints:
        told.append(
            f"{trials['feasible'].sum()} of {len(trials)} trials meet the constraints "
            f"({study.goal.limits}) at the end; the shaded part lies outside them."
        )
    if best.empty:
        return " ".join([*told, "Point at a trial for its genome."])
    kind = "network within them" if study.goal.constraints else "network"
    told.append(
        f"Each point of the front is a {kind} that no other one beats in accuracy with as few {study.count}. "
        "Point at one for its genome."
    )
    if early := earlier(study, best).sum():
        told.append(
            f"{early} of them, the open diamonds, are networks at an earlier epoch of their training, "
            f"the last that left them so many {study.count}."
        )
    if best["accuracy_sd"].notna().any():
        told.append("Error bars are one standard deviation over replicates, at the end.")
    return " ".join(told)


def _shade(figure: go.Figure, study: Study, x: Scale) -> None:
    look = {"fillcolor": SHADE, "line_width": 0, "layer": "below", "name": LABEL, "legendgroup": LABEL}
    for left, right in missed(study, "survivors", x):
        figure.add_vrect(x0=left, x1=right, **look)
    for low, high in missed(study, "accuracy", ACCURACY):
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


def _line(best: pd.DataFrame, x: Scale) -> go.Scatter:
    return go.Scatter(
        x=x.place(best["survivors"]).tolist(),
        y=best["accuracy"].to_list(),
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
    return go.Scatter(
        x=[None], y=[None], xaxis="x2", showlegend=False
    )  # an axis without a trace is not drawn


def _sparsity_axis(study: Study, x: Scale) -> dict[str, Any]:
    ticks = x.shares(study.neurons)
    gone = f"sparsity, % of {study.count} gone"
    title = "% fewer than in the largest network" if sizes_differ(study) else gone
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


def _table(study: Study, best: pd.DataFrame) -> str:
    header = ("trial", "epoch", "accuracy", "survivors", f"of its {study.count}", *genes(study))
    return table(
        header,
        (
            (
                count(row["trial"]),
                count(row["epoch"]),
                accuracy(row),
                survivors(row),
                percent(row["survivors"] / row["neurons"]),
                *(gene_value(row["genome." + gene]) for gene in genes(study)),
            )
            for row in rows(best)
        ),
    )
