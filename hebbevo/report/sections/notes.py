"""The section on how far the measurements can be compared and repeated."""

from __future__ import annotations

from hebbevo.report.section import Section
from hebbevo.study.view import Study

UNREPEATABLE = (
    "trained in a smaller cohort, or failed, because time or memory ran out or a worker was killed: "
    "another run of this search may have other results"
)


def notes(study: Study) -> Section | None:
    """Make the section: what could not be counted exactly, stacked or repeated, and in how many trials."""
    counts = study.trials()["notes"].dropna().value_counts()
    rows = [[str(number), str(note)] for note, number in counts.items()]
    if unrepeatable := int((~study.trials()["repeatable"]).sum()):
        rows.append([str(unrepeatable), UNREPEATABLE])
    if study.alone:
        rows.insert(0, ["all", f"trained one by one: {study.alone}"])
    return Section.of("How the networks were measured", "notes", rows=rows) if rows else None
