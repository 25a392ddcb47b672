"""What one must know of the numbers."""

from __future__ import annotations

from hebbevo.report.section import Section
from hebbevo.report.source import Study
from hebbevo.report.tables import table


def notes(study: Study) -> Section | None:
    """What of the networks could not be followed or stacked, and in how many trials."""
    counts = study.trials()["notes"].dropna().value_counts()
    if counts.empty:
        return None
    rows = [(str(number), str(note)) for note, number in counts.items()]
    return Section("How the networks were measured", table(("trials", "note"), rows))
