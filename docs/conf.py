"""How Sphinx builds these pages: ``sphinx-build -W --keep-going -b html docs docs/_build``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import knob_tables

project = "hebbevo"
author = "The hebbevo maintainers"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "hebbevo"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4  # links to headings of four levels, as on GitHub

default_role = "code"  # docstrings write `name` for code, as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def _fill(_app: Any, _page: str, source: list[str]) -> None:
    """Put the tables of knobs into a page that has marks for them."""
    source[0] = knob_tables.filled(source[0])


def _escape_shapes(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Escape the star of a shape, as in (outputs, inputs, *kernel): reStructuredText means emphasis by it."""
    lines[:] = [re.sub(r"(?<=, )\*(?=\w+[,)])", r"\*", line) for line in lines]


def setup(app: Any) -> None:
    """Register what these pages need beyond Sphinx."""
    app.connect("source-read", _fill)
    app.connect("autodoc-process-docstring", _escape_shapes)
