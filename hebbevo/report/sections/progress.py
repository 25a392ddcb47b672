"""The section on the progress of the search."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hebbevo.objectives.pareto import hypervolume_history
from hebbevo.report.charts import embedded
from hebbevo.report.figures.progress import progress_figure
from hebbevo.report.section import Section
from hebbevo.study.view import Study


def progress(study: Study) -> Section | None:
    """Make the section: the hypervolume after each trial."""
    points = study.points()
    points = points[points["feasible"] & points["works"]]
    if points.empty:
        return None
    values = points[[*study.goal.traded]].to_numpy(dtype=float)
    hypervolumes = hypervolume_history(values, study.chance, study.largest)
    history = pd.Series(hypervolumes).groupby(points["trial"].to_numpy()).last()
    last = history.iloc[-1]
    return Section.of(
        "Progress",
        "progress",
        score=study.score,
        settled=int(history.index[int(np.argmax(history >= 0.99 * last))]),
        last=f"{last:.4f}",
        chart=embedded(progress_figure(history[_is_drawn(history)]), "progress"),
    )


def _is_drawn(history: pd.Series[float]) -> pd.Series[bool]:
    """The trials with another hypervolume than the one before, and the last."""
    drawn = history.diff() != 0
    drawn.iloc[-1] = True
    return drawn
