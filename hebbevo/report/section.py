"""A part of the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        title: plain text.
        body: HTML, in which all text from the study is escaped.
    """

    title: str
    body: str
