"""The sections of the page, one per file.

A section is a function from a study to a `Section`, or to ``None`` if the study has nothing for it. To add
one, write its file and add it to `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable

from hebbevo.report.section import Section
from hebbevo.report.sections.curves import curves
from hebbevo.report.sections.decision import decision
from hebbevo.report.sections.decoding import decoding
from hebbevo.report.sections.failures import failures
from hebbevo.report.sections.front import front
from hebbevo.report.sections.health import health
from hebbevo.report.sections.importance import importance
from hebbevo.report.sections.notes import notes
from hebbevo.report.sections.parallel import parallel
from hebbevo.report.sections.progress import progress
from hebbevo.report.sections.raster import raster
from hebbevo.report.sections.reproduce import reproduce
from hebbevo.report.sections.rules import rules
from hebbevo.report.sections.slices import slices
from hebbevo.report.sections.window import window
from hebbevo.study.view import Study

SECTIONS: tuple[Callable[[Study], Section | None], ...] = (
    decision,
    front,
    window,
    health,
    importance,
    parallel,
    slices,
    curves,
    decoding,
    raster,
    rules,
    progress,
    failures,
    notes,
    reproduce,
)
