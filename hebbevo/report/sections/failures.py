"""The section on failed trials and collapsed networks."""

from __future__ import annotations

from hebbevo.report.queries import complete_trials
from hebbevo.report.section import Section
from hebbevo.report.tables import table
from hebbevo.study.view import Study

MAX_ROWS = 100


def failures(study: Study) -> Section | None:
    """Make the section: failed trials with their reasons, and the number of collapsed networks."""
    trials = study.trials()
    failed = trials[trials["state"] == "failed"]
    collapsed = int(complete_trials(study)["collapsed"].sum())
    parts = []
    if collapsed:
        noun = "network" if collapsed == 1 else "networks"
        parts.append(
            f"<p>{collapsed} {noun} collapsed: no path from input to output was left, "
            f"and the {study.score} is that of chance.</p>"
        )
    if len(failed):
        noun = "trial" if len(failed) == 1 else "trials"
        rest = f"; the first {MAX_ROWS} are here, all are in trials.csv" if len(failed) > MAX_ROWS else ""
        rows = [
            (str(trial), reason if isinstance(reason, str) else "no reason was recorded")
            for trial, reason in zip(failed["trial"], failed["failure"], strict=True)
        ]
        parts.append(f"<p>{len(failed)} {noun} failed and have no score{rest}.</p>")
        parts.append(f'<div class="reasons">{table(("trial", "reason"), rows[:MAX_ROWS])}</div>')
    return Section("Failures", "\n".join(parts)) if parts else None
