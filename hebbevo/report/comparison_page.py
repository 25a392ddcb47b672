"""The page of a comparison: what it says, its attainment surfaces and its tables."""

from __future__ import annotations

import math
from importlib.resources import files

from plotly.offline import get_plotlyjs

from hebbevo.report.charts import chart
from hebbevo.report.figures.attainment import attainment_figure
from hebbevo.report.formatting import NONE, html
from hebbevo.report.tables import table
from hebbevo.study.comparison import Comparison
from hebbevo.study.comparison.verdict import rank_test, t_test

_EXPLANATION = (
    "What a solid line shows is reached by at least half of the studies of a group, a dotted line by "
    "at least one, a dashed line by all."
)


def comparison_page(comparison: Comparison) -> str:
    """The comparison as one HTML document that loads nothing from outside."""
    style = files("hebbevo.report").joinpath("page.css").read_text(encoding="utf-8")
    remarks = "".join(f"<p>{html(remark)}</p>\n" for remark in comparison.remarks)
    reference = f"{comparison.score} {comparison.chance:.4g} and {comparison.neurons} {comparison.count}"
    surfaces = chart(attainment_figure(comparison), "attainment", 560)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Comparison of studies</title>
<style>
{style}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<header>
<h1>Comparison of studies</h1>
<p>All hypervolumes are measured from {html(reference)}.</p>
</header>
<main>
<section>
<p class="answer">{html(comparison.sentence)}</p>
{remarks}</section>
<section>
<h2>Attainment over seeds</h2>
<p>{_EXPLANATION}</p>
{surfaces}
</section>
<section>
<h2>Tables</h2>
{_tables(comparison)}
</section>
</main>
<footer>Made by hebbevo. Beside this page: compare.csv, pairs.csv, attainment.csv, attainment.png.</footer>
</body>
</html>
"""


def _tables(comparison: Comparison) -> str:
    groups = table(
        ("group", "studies", "hypervolume", "95 % interval", "confirmed", "95 % interval"),
        (
            (
                row["group"],
                str(row["studies"]),
                _decimals(row["hypervolume"]),
                _interval(row["hypervolume_low"], row["hypervolume_high"]),
                _decimals(row["confirmed"]),
                _interval(row["confirmed_low"], row["confirmed_high"]),
            )
            for row in comparison.table().to_dict("records")
        ),
    )
    studies = table(
        ("study", "group", "seed", "trials", "front", "hypervolume", "confirmed"),
        (
            (
                row["study"],
                row["group"],
                str(row["seed"]),
                f"{row['trials']} of {row['total']}",
                str(row["front"]),
                _decimals(row["hypervolume"]),
                _decimals(row["confirmed"]),
            )
            for row in comparison.studies().to_dict("records")
        ),
    )
    parts = [groups, "<h3>Studies</h3>", studies]
    if len(comparison.groups) > 1:
        parts[1:1] = ["<h3>Differences</h3>", _pairs(comparison)]
    return "\n".join(parts)


def _pairs(comparison: Comparison) -> str:
    by = ", Holm" if len(comparison.groups) > 2 else ""
    return table(
        ("difference", "hypervolume", "by", "95 % interval", f"t-test{by}", f"rank test{by}"),
        (
            (
                f"{row['first']} less {row['second']}",
                row["measure"],
                f"{row['difference']:+.4f}",
                _interval(row["low"], row["high"]),
                _test(t_test(row), row["t_holm"]),
                _test(rank_test(row), row["rank_holm"]),
            )
            for row in comparison.pairs().to_dict("records")
        ),
    )


def _decimals(value: float) -> str:
    return NONE if math.isnan(value) else f"{value:.4f}"


def _interval(low: float, high: float) -> str:
    return NONE if math.isnan(low) else f"{low:.4f} to {high:.4f}"


def _test(name: str, p: float) -> str:
    return NONE if math.isnan(p) else f"p = {p:.2g}, {name}"
