"""The section on the usable window of the constant that decides how many neurons are pruned."""

from __future__ import annotations

import math

from hebbevo.errors import UsageError
from hebbevo.report.charts import chart
from hebbevo.report.formatting import html, label
from hebbevo.report.section import Section
from hebbevo.report.window_charts import map_figure, map_gene, shares_figure
from hebbevo.study.view import Study


def window(study: Study) -> Section | None:
    """Make the section: where the penalty is usable, and a map over it and the threshold.

    Without a penalty it is the gene with the strongest rank correlation with the survivors.
    """
    try:
        found = study.window()
    except UsageError:  # no numeric gene varies
        return None
    if found.trials.empty or math.isnan(found.definition.best):  # no trial is complete
        return None
    shaded = ", and the shaded part is the window" if found.ranges else ""
    parts = [
        f'<p class="answer">{html(found.sentence)}.</p>',
        f'<p class="soft">Usable means {html(found.definition.text)}. The shares are those of '
        f"{len(found.trials)} trials that the sampler did not choose by results. Bars are Wilson 95 % "
        f"intervals{shaded}.</p>",
        chart(shares_figure(found), "window", 420),
    ]
    other = map_gene(study, found)
    if other is not None and found.ranges:
        parts.append(f"<p>The share of usable trials over {label(found.knob)} and {label(other.name)}:</p>")
        parts.append(chart(map_figure(found, other), "window-map", 440))
    return Section(f"The window of {found.knob}", "\n".join(parts))
