"""What one must know of the numbers."""

from __future__ import annotations

from hebbevo.report.section import Section
from hebbevo.report.source import Study
from hebbevo.report.tables import table


def notes(study: Study) -> Section | None:
    """What of the networks could not be followed or stacked, and in how many trials."""
    counts = study.trials()["notes"].dropna().value_counts()
    rows = [(str(number), str(note)) for note, number in counts.items()]
    if study.alone:
        rows.insert(0, ("all", f"trained one by one: {study.alone}"))
    return Section("How the networks were measured", table(("trials", "note"), rows)) if rows else None
