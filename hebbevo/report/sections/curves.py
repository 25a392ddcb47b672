"""The section on the trainings of the networks on the front."""

from __future__ import annotations

from hebbevo.report.charts import embedded
from hebbevo.report.figures.curves import angle_columns, curves_figure, drawn_trials, has_shares
from hebbevo.report.section import Section
from hebbevo.study.view import Study


def curves(study: Study) -> Section | None:
    """Make the section: the score and the survivors after each epoch."""
    drawn = drawn_trials(study)
    if not any(len(study.curve(trial)) > 1 for trial in drawn):
        return None
    return Section.of(
        "How they were trained",
        "curves",
        drawn=len(drawn),
        trials=study.front()["trial"].nunique(),
        replicates=study.settings["search"]["replicates"],
        score=study.score,
        grows=has_shares(study),
        aligns=bool(angle_columns(study)),
        chart=embedded(curves_figure(study), "curves"),
    )
