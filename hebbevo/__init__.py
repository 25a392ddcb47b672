"""Search the constants and the topology of Hebbian, use-it-or-lose-it networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hebbevo import lazily

if TYPE_CHECKING:
    from hebbevo.loop import Progress, resume, search
    from hebbevo.nn.count import count
    from hebbevo.rebuild import network
    from hebbevo.study import Study, open_study

__getattr__, __dir__ = lazily.names(
    __name__,
    {
        "hebbevo.loop": ("Progress", "resume", "search"),
        "hebbevo.nn.count": ("count",),
        "hebbevo.rebuild": ("network",),
        "hebbevo.study": ("Study", "open_study"),
    },
)

__all__ = ["Progress", "Study", "count", "network", "open_study", "resume", "search"]
