"""The section on rules that are genes: the front of each, and which part of the whole front each holds."""

from __future__ import annotations

from itertools import cycle, product

import pandas as pd
import plotly.graph_objects as go

from hebbevo.report.charts import PALETTE, axis, chart
from hebbevo.report.constraints import survivors_axis
from hebbevo.report.formatting import count, hover, label, score, tick_format
from hebbevo.report.queries import complete_trials, gene_value_of, rows, rule_genes, rules_on_front
from hebbevo.report.section import Section
from hebbevo.report.tables import table
from hebbevo.study.front import front_rows
from hebbevo.study.view import Study


def rules(study: Study) -> Section | None:
    """Make the section: for each gene that is a rule, a chart of the fronts and a table of their shares."""
    trials = complete_trials(study)
    if trials.empty or not (found := rule_genes(study)):
        return None
    return Section("The rules", "\n".join(_part(study, trials, gene) for gene in found))


def _part(study: Study, trials: pd.DataFrame, gene: str) -> str:
    working = trials[(trials["accuracy"] > study.chance) & ~trials["collapsed"]]
    fronts = {rule: _front(own) for rule, own in working.groupby(gene_value_of(working, gene), sort=False)}
    holders = rules_on_front(study, gene)
    x = survivors_axis(study)
    lines = [
        go.Scatter(
            x=x.place(own["survivors"]).tolist(),
            y=own["accuracy"].to_list(),
            mode="lines+markers",
            line={"shape": "hv", "width": 1.5, "color": colour, "dash": dash},
            marker={"size": 7},
            name=label(str(rule)),
            hovertext=[hover(study, row) for row in rows(own)],
            hoverinfo="text",
        )
        for (rule, own), (dash, colour) in zip(fronts.items(), cycle(product(("solid", "dot"), PALETTE)))
    ]
    figure = go.Figure(lines)
    figure.update_layout(
        xaxis=axis(x, f"surviving {study.count}"),
        yaxis={"title": {"text": study.score}, "tickformat": tick_format(study)},
    )
    counts = gene_value_of(trials, gene).value_counts()
    cells = []
    for rule, own in fronts.items():
        held = holders.get(str(rule))
        best = own.iloc[own["accuracy"].argmax()]
        cells.append(
            (
                str(rule),
                count(counts[rule]),
                count(held.networks) if held else "0",
                held.span if held else "",
                score(study, best["accuracy"]),
                count(best["survivors"]),
            )
        )
    header = (gene, "trials", "on the front", study.count, f"best {study.score}", f"with {study.count}")
    text = (
        f"Each line is the front of the trials with one rule for {label(gene)}, at the end of their "
        "trainings. The table says which part of the whole front each rule holds. A rule with few trials "
        "has had few chances; one that is missing has no network that beats chance."
    )
    return f"<p>{text}</p>\n{chart(figure, f'rules-{gene}', 480)}\n{table(header, cells)}"


def _front(trials: pd.DataFrame) -> pd.DataFrame:
    return trials.iloc[front_rows(trials[["accuracy", "survivors"]].to_numpy(dtype=float))]
