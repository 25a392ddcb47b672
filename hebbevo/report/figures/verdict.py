"""The chart of the verdict: each confirmed member against the dense network of the same widths."""

from __future__ import annotations

import plotly.graph_objects as go

from hebbevo.report.charts import BLUE, GREEN, GREY, RED, axis, styled
from hebbevo.report.constraints import survivors_axis
from hebbevo.report.formatting import score
from hebbevo.report.networks import CONFIRMED, keys
from hebbevo.report.queries import rows
from hebbevo.study.view import Study

_LOOK = {
    "above": (GREEN, "triangle-up", "above the dense control"),
    "level": (BLUE, "circle", "level with the dense control"),
    "below": (RED, "triangle-down", "below the dense control"),
}


def verdict_figure(study: Study) -> go.Figure:
    """Draw how much better each confirmed member is than its dense control, with 95 % intervals.

    Both were measured on the same rows, under the same seeds. Without a confirmation the chart is empty.
    """
    figure = go.Figure()
    if study.confirmation is not None:
        members = study.confirmation.members()
        members = members[members["difference"].notna()]
        across = survivors_axis(study)
        for verdict, (colour, symbol, name) in _LOOK.items():
            own = members[members["verdict"] == verdict]
            if own.empty:
                continue
            figure.add_trace(
                go.Scatter(
                    x=across.place(own["confirmed_survivors"]).tolist(),
                    y=own["difference"].to_list(),
                    error_y={
                        "array": (own["difference_high"] - own["difference"]).to_list(),
                        "arrayminus": (own["difference"] - own["difference_low"]).to_list(),
                        "color": colour,
                        "thickness": 1.5,
                        "width": 4,
                    },
                    mode="markers",
                    name=name,
                    marker={"color": colour, "symbol": symbol, "size": 10},
                    customdata=keys(own),
                    meta=CONFIRMED,
                    hovertext=[
                        f"<b>trial {row['trial']}</b><br>{_signed(study, row['difference'])}, "
                        f"from {_signed(study, row['difference_low'])} "
                        f"to {_signed(study, row['difference_high'])}"
                        for row in rows(own)
                    ],
                    hoverinfo="text",
                )
            )
        if not members.empty:
            figure.update_xaxes(axis(across, f"confirmed surviving {study.count}"))
        figure.add_hline(y=0, line={"dash": "dot", "width": 1.5, "color": GREY})
    figure.update_layout(
        yaxis={
            "title": {"text": f"{study.score}: network less dense control"},
            "tickformat": "+.1%" if study.in_percent else "+.2f",
        },
        showlegend=True,
    )
    return styled(figure, 380)


def _signed(study: Study, difference: float) -> str:
    return f"{'+' if difference >= 0 else ''}{score(study, difference)}"
