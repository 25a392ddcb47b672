"""The section on the front: the score against surviving neurons."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hebbevo.report.charts import embedded
from hebbevo.report.figures.front import dominated, front_figure
from hebbevo.report.formatting import (
    NONE,
    accuracy,
    count,
    gene_value,
    measured,
    percent,
    random_accuracy,
    survivors,
    title,
)
from hebbevo.report.networks import key
from hebbevo.report.queries import complete_trials, genes, is_before_end, is_on_front, rows
from hebbevo.report.section import Section
from hebbevo.study.score_scale import score_scale
from hebbevo.study.view import RANDOM, Study


def front(study: Study) -> Section | None:
    """Make the section: a chart of the front in front of all trials, and a table of the front."""
    if study.points().empty:
        return None
    points = study.front()
    return Section.of(
        "The front",
        "front",
        explanation=_explanation(study, complete_trials(study), points),
        chart=embedded(front_figure(study), "front"),
        header=[
            "network",
            "epoch",
            study.score,
            *(["random weights"] if RANDOM in points else []),
            "survivors",
            f"of its {study.count}",
            *map(title, study.further),
            *genes(study),
        ],
        rows=[_row(study, row) for row in rows(points)],
        keys=[key(row) for row in rows(points)],
    )


def _row(study: Study, row: dict[str, Any]) -> list[str]:
    return [
        f"trial {row['trial']}",
        count(row["epoch"]),
        accuracy(study, row),
        *([random_accuracy(study, row) or NONE] if RANDOM in row else []),
        survivors(row),
        percent(row["survivors"] / row["neurons"]),
        *(measured(row, name) for name in study.further),
        *(gene_value(row[f"genome.{gene}"]) for gene in genes(study)),
    ]


def _counts(study: Study) -> str:
    return " and ".join([study.count, *map(title, study.goal.traded[2:])])


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
        f"{_counts(study)}. Choose one, by a click or with Enter, for its genome."
    )
    if further := study.goal.traded[2:]:
        sentences.append(
            f"The darker a point, the fewer {title(further[0])} it has; the line is the front of "
            f"{study.score} and {study.count} alone."
        )
    if before_end := is_before_end(study, points).sum():
        which = (
            "One of them, the open diamond, is"
            if before_end == 1
            else f"{before_end}, the open diamonds, are"
        )
        sentences.append(
            f"{which} at an earlier epoch of the training, the last epoch with so many {study.count}."
        )
    if points["accuracy_sd"].notna().any():
        sentences.append("Error bars are one standard deviation over replicates, at the end.")
    if score_scale(study).least:
        sentences.append(f"The axis of {study.score} is stretched towards 100 %, where one chooses.")
    others = int((~is_on_front(trials, study.front())).sum())
    if (drawn := len(dominated(study))) < others:
        sentences.append(
            f"Of {others:,} other trials {drawn:,} are drawn, one of those that would lie on each other."
        )
    return " ".join(sentences)
