"""Search the constants and the topology of Hebbian, use-it-or-lose-it networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hebbevo import lazy_imports

if TYPE_CHECKING:
    from hebbevo.deploy.retraining import network
    from hebbevo.nn.liveness.counting import count
    from hebbevo.outer.driver import Progress, resume, search
    from hebbevo.study.view import Study, open_study

__getattr__, __dir__ = lazy_imports.names(
    __name__,
    {
        "hebbevo.outer.driver": ("Progress", "resume", "search"),
        "hebbevo.nn.liveness.counting": ("count",),
        "hebbevo.deploy.retraining": ("network",),
        "hebbevo.study.view": ("Study", "open_study"),
    },
)

__all__ = ["Progress", "Study", "count", "network", "open_study", "resume", "search"]
