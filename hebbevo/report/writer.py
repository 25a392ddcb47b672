"""Write a study's report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hebbevo.report.files import save
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
    from hebbevo.report.picture import picture

    return save(
        Path(folder),
        {
            "report.html": page(study).encode("utf-8", "backslashreplace"),
            "front.csv": _csv(study.front()),
            "trials.csv": _csv(study.trials()),
            "front.png": picture(study),
        },
    )


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode("utf-8", "backslashreplace")
