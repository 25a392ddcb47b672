"""Packages whose names are imported on first use, so that a short command does not wait for PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def attach(
    package: str, names: Mapping[str, Sequence[str]], modules: Sequence[str] = ()
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and the ``__dir__`` of a package (PEP 562).

    Args:
        package: name of the package, which has ``__all__``.
        names: for each module, the names of it that the package offers.
        modules: the modules inside the package that it offers, too.
    """
    module_of = {name: module for module, offered in names.items() for name in offered}

    def get(name: str) -> object:
        if name in modules:
            return import_module(f"{package}.{name}")
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module_of[name]), name)

    def all_names() -> list[str]:
        return sorted({*sys.modules[package].__all__, *modules})

    return get, all_names
