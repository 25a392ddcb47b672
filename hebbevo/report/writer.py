"""Write a study's report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hebbevo.report.files import save
from hebbevo.report.queries import Study, snapshot


def write(study: Study, folder: Path) -> list[Path]:
    """Write ``report.html``, ``front.csv``, ``trials.csv`` and ``front.png`` into ``folder``.

    The page opens offline. The folder is made where missing; files of an earlier report are replaced.
    Returns the four paths in that order.

    Raises:
        UsageError: the folder cannot be written or the disk is full.
    """
    # the drawing libraries take a second to import, which a mere `import hebbevo` should not
    from hebbevo.report.page import page
    from hebbevo.report.picture import picture

    reading = snapshot(study)
    return save(
        Path(folder),
        {
            "report.html": page(reading).encode("utf-8", "backslashreplace"),
            "front.csv": _csv(reading.front()),
            "trials.csv": _csv(reading.trials()),
            "front.png": picture(reading),
        },
    )


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode("utf-8", "backslashreplace")
