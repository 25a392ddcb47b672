"""What went wrong."""

from __future__ import annotations

from hebbevo.report.queries import Study, complete
from hebbevo.report.section import Section
from hebbevo.report.tables import table

MOST_ROWS = 100


def failures(study: Study) -> Section | None:
    """The failed trials with their reasons, and how many networks collapsed."""
    trials = study.trials()
    failed = trials[trials["state"] == "failed"]
    collapsed = int(complete(study)["collapsed"].sum())
    parts = []
    if collapsed:
        noun = "network" if collapsed == 1 else "networks"
        parts.append(
            f"<p>{collapsed} {noun} collapsed: no path from input to output was left, "
            "and the accuracy is that of chance.</p>"
        )
    if len(failed):
        noun = "trial" if len(failed) == 1 else "trials"
        rest = f"; the first {MOST_ROWS} are here, all are in trials.csv" if len(failed) > MOST_ROWS else ""
        rows = [
            (str(trial), reason if isinstance(reason, str) else "no reason was recorded")
            for trial, reason in zip(failed["trial"], failed["failure"], strict=True)
        ]
        parts.append(f"<p>{len(failed)} {noun} failed and count for nothing{rest}.</p>")
        parts.append(f'<div class="reasons">{table(("trial", "reason"), rows[:MOST_ROWS])}</div>')
    return Section("Failures", "\n".join(parts)) if parts else None
