"""A part of the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A ``title``, in plain text, and a ``body``, in HTML with everything foreign escaped."""

    title: str
    body: str
