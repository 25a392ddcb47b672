"""A part of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from hebbevo.report.templates import render


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        title: plain text.
        body: HTML, in which all text from the study is escaped.
    """

    title: str
    body: str

    @classmethod
    def of(cls, title: str, template: str, **context: Any) -> Self:
        """Make a section from ``templates/sections/<template>.html.jinja``, which escapes what it gets."""
        return cls(title, render(f"sections/{template}", **context))
