"""Packages whose names are imported on first use: a short command must not wait for PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Give a package its ``__getattr__`` and ``__dir__``.

    Args:
        package: its name.
        homes: the modules that its names come from, and the names.
    """
    home = {name: module for module, those in homes.items() for name in those}

    def find(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home[name]), name)

    def known() -> list[str]:
        return list(sys.modules[package].__all__)

    return find, known
