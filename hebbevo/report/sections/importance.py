"""The section on how much each gene decides."""

from __future__ import annotations

from hebbevo.report.charts import embedded
from hebbevo.report.figures.importance import importance_bars
from hebbevo.report.formatting import percent
from hebbevo.report.importance import importance as measured
from hebbevo.report.section import Section
from hebbevo.study.view import Study

_CHOOSE_NOTHING = ("random", "qmc", "latin_hypercube")


def importance(study: Study) -> Section | None:
    """Make the section: the importance of each gene for both objectives."""
    table = measured(study)
    if table.empty:
        return None
    sampler = study.settings["search"]["sampler"]
    objectives = {"accuracy": study.score, "survivors": "survivors"}
    return Section.of(
        "What decides",
        "importance",
        leaders=[
            (title, *max(zip(table[measure], table["gene"], strict=True))[::-1])
            for measure, title in objectives.items()
        ],
        sampler=None if sampler in _CHOOSE_NOTHING else sampler,
        chart=embedded(importance_bars(study, table), "importance"),
        header=["gene", study.score, "survivors"],
        rows=[
            [row["gene"], percent(row["accuracy"], 0), percent(row["survivors"], 0)]
            for row in table.to_dict("records")
        ],
    )
