"""The section on the health of the search: what may have kept it from a better front."""

from __future__ import annotations

from hebbevo.report.formatting import html
from hebbevo.report.section import Section
from hebbevo.study.health import health as findings
from hebbevo.study.view import Study


def health(study: Study) -> Section | None:
    """Make the section: a line for each finding, and what to do about it."""
    lines = findings(study)
    if not lines:
        return None
    return Section("Health of the search", f"<ul>{''.join(f'<li>{html(line)}</li>' for line in lines)}</ul>")
