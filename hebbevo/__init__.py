"""Search the constants and the topology of Hebbian, use-it-or-lose-it networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hebbevo import lazy_imports

if TYPE_CHECKING:
    from hebbevo.api import resume, search
    from hebbevo.deploy.retraining import network
    from hebbevo.nn.liveness.counting import count
    from hebbevo.outer.progress import Progress
    from hebbevo.study.view import Study, open_study

__getattr__, __dir__ = lazy_imports.attach(
    __name__,
    {
        "hebbevo.api": ("resume", "search"),
        "hebbevo.deploy.retraining": ("network",),
        "hebbevo.nn.liveness.counting": ("count",),
        "hebbevo.outer.progress": ("Progress",),
        "hebbevo.study.view": ("Study", "open_study"),
    },
)

__all__ = ["Progress", "Study", "count", "network", "open_study", "resume", "search"]
