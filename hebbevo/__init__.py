"""Search the constants and the topology of Hebbian, use-it-or-lose-it networks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hebbevo.loop import Progress, resume, search
    from hebbevo.nn.count import count
    from hebbevo.rebuild import network
    from hebbevo.study import Study, open_study

# imported on first use: `hebbevo --help` must not wait for PyTorch
_HOME = {
    "Progress": "hebbevo.loop",
    "Study": "hebbevo.study",
    "count": "hebbevo.nn.count",
    "network": "hebbevo.rebuild",
    "open_study": "hebbevo.study",
    "resume": "hebbevo.loop",
    "search": "hebbevo.loop",
}

__all__ = ["Progress", "Study", "count", "network", "open_study", "resume", "search"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'hebbevo' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
