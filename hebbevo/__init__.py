"""Search the constants and the topology of Hebbian, use-it-or-lose-it networks."""

from __future__ import annotations

from hebbevo import import_path

import_path.protect_command()  # before anything is imported that the current folder could replace

from typing import TYPE_CHECKING  # noqa: E402

from hebbevo import lazy_imports  # noqa: E402

if TYPE_CHECKING:
    from hebbevo.api import resume, search
    from hebbevo.deploy.compaction import compact
    from hebbevo.deploy.retraining import network
    from hebbevo.nn.liveness.counting import count
    from hebbevo.outer.progress import Progress
    from hebbevo.study.copying import copy
    from hebbevo.study.view import Study, open_study

__getattr__, __dir__ = lazy_imports.attach(
    __name__,
    {
        "hebbevo.api": ("resume", "search"),
        "hebbevo.deploy.compaction": ("compact",),
        "hebbevo.deploy.retraining": ("network",),
        "hebbevo.nn.liveness.counting": ("count",),
        "hebbevo.outer.progress": ("Progress",),
        "hebbevo.study.copying": ("copy",),
        "hebbevo.study.view": ("Study", "open_study"),
    },
)

__all__ = ["Progress", "Study", "compact", "copy", "count", "network", "open_study", "resume", "search"]
