"""What one must know of the numbers."""

from __future__ import annotations

from hebbevo.report.queries import Study
from hebbevo.report.section import Section
from hebbevo.report.tables import table

UNREPEATABLE = (
    "trained in another cohort, or failed, for want of time or memory or because their worker was killed: "
    "the same search may come to something else"
)


def notes(study: Study) -> Section | None:
    """What of the networks could not be followed or stacked, and in how many trials."""
    counts = study.trials()["notes"].dropna().value_counts()
    rows = [(str(number), str(note)) for note, number in counts.items()]
    if unlike := int((~study.trials()["repeatable"]).sum()):
        rows.append((str(unlike), UNREPEATABLE))
    if study.alone:
        rows.insert(0, ("all", f"trained one by one: {study.alone}"))
    return Section("How the networks were measured", table(("trials", "note"), rows)) if rows else None
