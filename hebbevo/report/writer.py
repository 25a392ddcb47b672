"""Write a study's report."""

from __future__ import annotations

from pathlib import Path

from hebbevo.paths import expanded
from hebbevo.report.files import save
from hebbevo.report.tables import csv
from hebbevo.study.view import Study


def write(study: Study, folder: Path) -> list[Path]:
    """Write the report of a study: ``report.html``, ``front.csv``, ``trials.csv`` and ``front.png``.

    The page opens offline.

    Args:
        study: what to report; what a search adds to its file meanwhile does not change it.
        folder: is made if it is missing; files of an earlier report are replaced.

    Returns:
        The paths of the four files, in the order above.

    Raises:
        UsageError: the folder cannot be written or the disk is full.
    """
    # the drawing libraries take a second to import, which commands that draw nothing need not wait for
    from hebbevo.report.page import page
    from hebbevo.report.picture import picture as drawn

    picture = drawn(study)
    return save(
        expanded(folder),
        {
            "report.html": _encoded(page(study, picture)),
            "front.csv": _encoded(csv(study.front())),
            "trials.csv": _encoded(csv(study.trials())),
            "front.png": picture,
        },
    )


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
