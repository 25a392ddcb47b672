"""The HTML page with all sections."""

from __future__ import annotations

from importlib.resources import files

from plotly.offline import get_plotlyjs

from hebbevo.report.formatting import html
from hebbevo.report.section import Section
from hebbevo.report.sections import SECTIONS
from hebbevo.study.view import Study


def page(study: Study) -> str:
    """The report as one HTML document that loads nothing from outside."""
    written = [section for make in SECTIONS if (section := make(study)) is not None]
    style = files("hebbevo.report").joinpath("page.css").read_text(encoding="utf-8")
    name = html(study.name)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name} - hebbevo report</title>
<style>
{style}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<header>
<h1>{name}</h1>
<p>A search for small networks that are still accurate</p>
</header>
<main>
{"".join(map(_framed, written))}</main>
<footer>Made by hebbevo from {html(str(study.store))}.
Beside this page: front.csv, trials.csv, front.png.</footer>
</body>
</html>
"""


def _framed(section: Section) -> str:
    return f"<section>\n<h2>{html(section.title)}</h2>\n{section.body}\n</section>\n"
