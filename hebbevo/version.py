"""The version of hebbevo."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("hebbevo")
