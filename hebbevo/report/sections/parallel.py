"""The section with all genes side by side."""

from __future__ import annotations

from hebbevo.report.charts import embedded
from hebbevo.report.figures.parallel import MOST, parallel_figure
from hebbevo.report.queries import complete_trials, genes, is_on_front
from hebbevo.report.section import Section
from hebbevo.study.view import Study


def parallel(study: Study) -> Section | None:
    """Make the section: parallel coordinates."""
    trials = complete_trials(study)
    if len(trials) < 2 or not genes(study):
        return None
    others = int((~is_on_front(trials, study.front())).sum())
    return Section.of(
        "Genes side by side",
        "parallel",
        thinned=f"Of {others:,} other trials {MOST} are drawn, evenly spread." if others > MOST else "",
        chart=embedded(parallel_figure(study), "parallel"),
    )
