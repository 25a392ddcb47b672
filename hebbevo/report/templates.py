"""The templates of the page. All that they are given is escaped, unless it is `Markup` already."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from hebbevo.messages import printable


def render(template: str, **context: Any) -> Markup:
    """Fill a template of ``hebbevo/report/templates``.

    Args:
        template: its path there, without the ending ``.html.jinja``.
        context: what it names. Of texts, control characters are shown as escapes.
    """
    return Markup(_environment().get_template(f"{template}.html.jinja").render(**context))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hebbevo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _shown(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(text: str) -> Markup:
    """A name in a narrow cell, which may be broken after an underscore."""
    return Markup(str(escape(printable(text))).replace("_", "_<wbr>"))
