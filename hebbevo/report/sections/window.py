"""The section on the usable window of the constant that decides how many neurons are pruned."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from hebbevo.report.charts import BLUE, PALETTE, axis, chart
from hebbevo.report.figures.front import dominated
from hebbevo.report.formatting import gene_value, hover, label, number, tick_format
from hebbevo.report.queries import (
    complete_trials,
    gene_settings,
    genes,
    is_before_end,
    is_on_front,
    rows,
)
from hebbevo.report.scale import scale
from hebbevo.report.section import Section
from hebbevo.study.view import Study

PENALTY = "unactivation_penalty"
FORM = "penalty_form"


def window(study: Study) -> Section | None:
    """Make the section: survivors and the score against one gene.

    The gene is the penalty. Without one, it is the gene with the strongest rank correlation with survivors.
    """
    trials = complete_trials(study)
    correlations = _rank_correlations(study, trials)
    has_penalty = PENALTY in genes(study) and _values(trials, PENALTY).notna().any()
    if not has_penalty and not correlations:
        return None
    gene = PENALTY if has_penalty else max(correlations, key=lambda name: abs(correlations[name]))
    sentences = []
    if not has_penalty:
        sentences.append(
            f"There is no gene {PENALTY} to show; of the numeric genes, {label(gene)} correlates most with "
            f"the survivors (rank correlation {correlations[gene]:+.2f})."
        )
    points = study.front()
    span = _span(study, points, gene)
    if span:
        low, high = (f"<strong>{number(end)}</strong>" for end in span)
        sentences.append(
            f"On the front, networks that lost {study.count} and still beat chance have {label(gene)} "
            f"from {low} to {high} (shaded): its usable window in this study."
        )
    before_end = points[is_before_end(study, points)]
    diamonds = "" if before_end.empty else "; open diamonds are networks at an earlier epoch"
    sentences.append(f"The points of the front are drawn larger{diamonds}.")
    shown = pd.concat([dominated(study)[points.columns], points])
    figure = _figure(study, shown[_values(shown, gene).notna()], points, gene, span)
    return Section(f"The window of {gene}", f"<p>{' '.join(sentences)}</p>\n{chart(figure, 'window', 660)}")


def _figure(
    study: Study, trials: pd.DataFrame, front: pd.DataFrame, gene: str, span: tuple[float, float] | None
) -> go.Figure:
    x, y = scale(_values(trials, gene)), scale([*trials["survivors"], study.neurons])
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for (form, group), colour in zip(_groups(study, trials), cycle(PALETTE)):
        look: dict[str, Any] = {
            "x": x.place(_values(group, gene)).tolist(),
            "mode": "markers",
            "marker": _marker(is_on_front(group, front), is_before_end(study, group), colour),
            "hovertext": [hover(study, row) for row in rows(group)],
            "hoverinfo": "text",
            "legendgroup": label(form),
            "showlegend": False,
        }
        figure.add_trace(go.Scatter(y=y.place(group["survivors"]).tolist(), **look), row=1, col=1)
        figure.add_trace(go.Scatter(y=group["accuracy"].to_list(), **look), row=2, col=1)
        figure.add_trace(_legend_entry(form, colour), row=1, col=1)
    if span:
        left, right = x.place(span)
        figure.add_vrect(x0=left, x1=right, fillcolor=BLUE, opacity=0.12, line_width=0, layer="below")
    figure.update_layout(
        xaxis=axis(x, ""),
        xaxis2=axis(x, label(gene)),
        yaxis=axis(y, f"surviving {study.count}"),
        yaxis2={"title": {"text": study.score}, "tickformat": tick_format(study)},
        showlegend=FORM in genes(study),
    )
    return figure


def _groups(study: Study, trials: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    if FORM not in genes(study):
        return [("trials", trials)]
    forms = trials["genome." + FORM].map(gene_value)
    return [(form, trials[forms == form]) for form in sorted(set(forms))]


def _marker(on_front: NDArray[np.bool_], before_end: NDArray[np.bool_], colour: str) -> dict[str, Any]:
    return {
        "color": colour,
        "symbol": np.where(before_end, "diamond-open", "circle").tolist(),
        "size": np.where(on_front, 11, 6).tolist(),
        "opacity": np.where(on_front, 1.0, 0.42).tolist(),
        "line": {"width": np.where(before_end, 2, 0).tolist()},
    }


def _legend_entry(form: str, colour: str) -> go.Scatter:
    """A trace for the legend: the marks of trials differ in size and opacity, so none stands for all."""
    mark = {"color": colour, "size": 9}
    return go.Scatter(
        x=[None], y=[None], mode="markers", name=label(form), legendgroup=label(form), marker=mark
    )


def _span(study: Study, points: pd.DataFrame, gene: str) -> tuple[float, float] | None:
    """The lowest and highest value of the gene on the front, among pruned networks that beat chance."""
    usable = (points["accuracy"] > study.chance) & (points["survivors"] < points["neurons"])
    values = _values(points[usable], gene).dropna()
    return None if values.empty else (float(values.min()), float(values.max()))


def _rank_correlations(study: Study, trials: pd.DataFrame) -> dict[str, float]:
    """Spearman's rank correlation with the survivors, of each numeric gene with more than one value."""
    found = {}
    for gene in (gene for gene in genes(study) if "low" in gene_settings(study, gene)):
        pairs = pd.DataFrame({"gene": _values(trials, gene), "survivors": trials["survivors"]}).dropna()
        ranks = pairs.rank()
        if (ranks.nunique() > 1).all():
            found[gene] = float(ranks["gene"].corr(ranks["survivors"]))
    return found


def _values(trials: pd.DataFrame, gene: str) -> pd.Series[float]:
    """The values of a gene, NaN where it is inactive or not a number."""
    return pd.to_numeric(trials["genome." + gene], errors="coerce").astype(float)
