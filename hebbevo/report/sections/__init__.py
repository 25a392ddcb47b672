"""The parts of the page, one a file.

A section is a function that makes its part from a study, or ``None`` where it has nothing to say. To add
one, write its file and name it here.
"""

from __future__ import annotations

from collections.abc import Callable

from hebbevo.report.queries import Study
from hebbevo.report.section import Section
from hebbevo.report.sections.failures import failures
from hebbevo.report.sections.front import front
from hebbevo.report.sections.notes import notes
from hebbevo.report.sections.progress import progress
from hebbevo.report.sections.summary import summary
from hebbevo.report.sections.window import window

SECTIONS: tuple[Callable[[Study], Section | None], ...] = (
    summary,
    front,
    progress,
    window,
    notes,
    failures,
)
