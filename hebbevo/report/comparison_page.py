"""The page of a comparison: what it says, its attainment surfaces and its tables."""

from __future__ import annotations

import base64
from importlib.resources import files

from markupsafe import Markup

from hebbevo.report.charts import embedded
from hebbevo.report.comparison_tables import group_rows, lead_lines, pair_rows, study_rows, tests_line
from hebbevo.report.figures.attainment import attainment_figure
from hebbevo.report.templates import render
from hebbevo.study.comparison import Comparison


def comparison_page(comparison: Comparison, picture: bytes) -> str:
    """The comparison as one HTML document that loads nothing from outside.

    Args:
        comparison: what to show.
        picture: a PNG file of the attainment surfaces, for browsers without scripts.
    """
    reference = f"{comparison.score} {comparison.chance:.4g} and {comparison.neurons} {comparison.count}"
    return str(
        render(
            "comparison",
            style=_file("page.css"),
            plotly=_file("vendor/plotly-basic.min.js"),
            script=_file("page.js"),
            reference=reference,
            sentence=comparison.sentence,
            remarks=comparison.remarks,
            chart=embedded(attainment_figure(comparison), "attainment"),
            picture=base64.b64encode(picture).decode(),
            leads=list(lead_lines(comparison)),
            groups=group_rows(comparison),
            pairs=pair_rows(comparison),
            tests=tests_line(comparison),
            studies=study_rows(comparison),
        )
    )


def _file(name: str) -> Markup:
    """A style sheet or a script of the package."""
    return Markup(files("hebbevo.report").joinpath(name).read_text(encoding="utf-8"))
