"""The section on failed trials and collapsed networks."""

from __future__ import annotations

import re

import pandas as pd

from hebbevo.report.queries import complete_trials
from hebbevo.report.section import Section
from hebbevo.study.view import Study

MAX_ROWS = 30
UNKNOWN = "no reason was recorded"


def failures(study: Study) -> Section | None:
    """Make the section: failed trials, grouped by reason, and the number of collapsed networks."""
    trials = study.trials()
    failed = trials[trials["state"] == "failed"]
    collapsed = int(complete_trials(study)["collapsed"].sum())
    if failed.empty and not collapsed:
        return None
    groups = _grouped(failed)
    return Section.of(
        "Failures",
        "failures",
        collapsed=collapsed,
        score=study.score,
        failed=len(failed),
        rows=groups[:MAX_ROWS],
        kinds=len(groups),
    )


def _grouped(failed: pd.DataFrame) -> list[list[str]]:
    """Count, example and reason of failures; reasons that differ in numbers only are one group."""
    found: dict[str, list[tuple[int, str]]] = {}
    for trial, reason in zip(failed["trial"], failed["failure"], strict=True):
        text = reason if isinstance(reason, str) else UNKNOWN
        found.setdefault(re.sub(r"\d+(\.\d+)?", "0", text), []).append((int(trial), text))
    ordered = sorted(found.values(), key=len, reverse=True)
    return [[f"{len(group):,}", f"trial {group[0][0]}", group[0][1]] for group in ordered]
