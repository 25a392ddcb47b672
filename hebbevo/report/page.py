"""The HTML page with all sections."""

from __future__ import annotations

import base64
import json
from importlib.resources import files

import pandas as pd
from markupsafe import Markup

from hebbevo.report.figures.front import dominated
from hebbevo.report.networks import networks
from hebbevo.report.sections import SECTIONS
from hebbevo.report.templates import render
from hebbevo.study.view import Study


def page(study: Study, picture: bytes) -> str:
    """The report as one HTML document that loads nothing from outside.

    Args:
        study: what to report.
        picture: a PNG file of the front, for browsers without scripts.
    """
    sections = [section for make in SECTIONS if (section := make(study)) is not None]
    return str(
        render(
            "page",
            name=study.name,
            store=str(study.store),
            style=_file("page.css"),
            plotly=_file("vendor/plotly-basic.min.js"),
            script=_file("page.js"),
            networks=_networks(study),
            picture=base64.b64encode(picture).decode(),
            sections=[(section.title, Markup(section.body)) for section in sections],
        )
    )


def _file(name: str) -> Markup:
    """A style sheet or a script of the package."""
    return Markup(files("hebbevo.report").joinpath(name).read_text(encoding="utf-8"))


def _networks(study: Study) -> Markup:
    """All networks that can be chosen, as JSON; between script tags nothing but < can end it."""
    front = study.front()
    shown = pd.concat([front, dominated(study)[front.columns]]) if len(front) else dominated(study)
    return Markup(json.dumps(networks(study, shown)).replace("<", r"\u003c"))
