"""The space files that ship with hebbevo, by name. Nothing here reads one: completion must be quick."""

from __future__ import annotations

import importlib.resources
from pathlib import Path


def shipped() -> dict[str, Path]:
    """Find the space files that ship with hebbevo, by name without ``.yaml``."""
    package = Path(str(importlib.resources.files("hebbevo")))
    inside = package / "search_spaces"  # where the wheel has them; a checkout has them beside the package
    folder = inside if inside.is_dir() else package.parent / "search_spaces"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
