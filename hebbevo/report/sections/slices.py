"""The section with one small chart per gene."""

from __future__ import annotations

from hebbevo.report.charts import embedded
from hebbevo.report.figures.slices import MOST, slice_figure
from hebbevo.report.queries import complete_trials, genes, is_on_front
from hebbevo.report.section import Section
from hebbevo.study.view import Study


def slices(study: Study) -> Section | None:
    """Make the section: the score and the survivors against each gene."""
    trials = complete_trials(study)
    shown = [gene for gene in genes(study) if trials[f"genome.{gene}"].notna().any()]
    if len(trials) < 2 or not shown:
        return None
    others = int((~is_on_front(trials, study.front())).sum())
    return Section.of(
        "Gene by gene",
        "slices",
        thinned=f"Of {others:,} other trials {MOST} are drawn, evenly spread." if others > MOST else "",
        charts=[embedded(slice_figure(study, gene), f"slice-{place}") for place, gene in enumerate(shown)],
    )
