"""The section on when each neuron died, or was regrown, in networks that were trained again."""

from __future__ import annotations

import numpy as np

from hebbevo.report.charts import embedded
from hebbevo.report.figures.raster import MOST, raster_figure
from hebbevo.report.formatting import trial_name
from hebbevo.report.queries import rows
from hebbevo.report.section import Section
from hebbevo.study.alive_units import AliveUnits
from hebbevo.study.choices import confirmed_choices, confirmed_front
from hebbevo.study.view import Study


def raster(study: Study) -> Section | None:
    """Make the section: a raster for each confirmed member, of which one is shown at a time."""
    confirmation = study.confirmation
    if confirmation is None:
        return None
    members = confirmation.members()
    found = [
        (row, lives)
        for row in rows(members)
        if (lives := confirmation.lives(row["trial"], row["epoch"])) is not None
    ]
    if not found:
        return None
    front = confirmed_front(members)
    choices = confirmed_choices(study, front)
    first = tuple(front.loc[choices.small, ["trial", "epoch"]])
    keys = [(row["trial"], row["epoch"]) for row, _ in found]
    return Section.of(
        "When each neuron died",
        "raster",
        is_thinned=any(max(lives.widths, default=0) > MOST for _, lives in found),
        most=MOST,
        first=keys.index(first) if first in keys else 0,
        members=[
            {
                "name": trial_name(study, row),
                "texts": texts_of(lives),
                "chart": embedded(raster_figure(lives), f"raster-{place}"),
            }
            for place, (row, lives) in enumerate(found)
        ],
    )


def texts_of(lives: AliveUnits) -> list[str]:
    r"""What a raster shows, in a sentence for each layer.

    Args:
        lives: which neurons were alive after each epoch.

    Examples:
        >>> texts_of(AliveUnits.of((2, 1), [b"\xe0", b"\xa0"]))[0]
        'Layer 1: 1 of 2 neurons is alive at the end. Half of the others were dead for good by epoch 2.'
    """
    texts = []
    for number, alive in enumerate(lives.by_layer(), start=1):
        left, width = int(alive[-1].sum()), alive.shape[1]
        text = f"Layer {number}: {left} of {width} neurons {'is' if left == 1 else 'are'} alive at the end."
        if left < width:
            gone = alive[:, ~alive[-1]]
            last = np.where(gone.any(0), len(gone) - gone[::-1].argmax(0), 0)  # epoch after which each lived
            epoch = int(np.sort(last)[(len(last) - 1) // 2]) + 1
            text += f" Half of the others were dead for good by epoch {epoch}."
        back = int((np.diff(alive.astype(int), axis=0) == 1).any(0).sum())
        if back:
            text += f" {back} came back, once or more often."
        texts.append(text)
    return texts
