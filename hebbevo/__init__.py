"""Search the constants and the topology of Hebbian, use-it-or-lose-it networks."""

from __future__ import annotations

from hebbevo import import_path

import_path.protect_command()  # before anything is imported that the current folder could replace

from typing import TYPE_CHECKING  # noqa: E402

from hebbevo import lazy_imports  # noqa: E402

if TYPE_CHECKING:
    from hebbevo import data as data
    from hebbevo import errors as errors
    from hebbevo import nn as nn
    from hebbevo import rules as rules
    from hebbevo import samplers as samplers
    from hebbevo import spec as spec
    from hebbevo.api import resume, search
    from hebbevo.deploy.compaction import compact
    from hebbevo.deploy.confirming import confirm
    from hebbevo.deploy.export.exporting import export
    from hebbevo.deploy.export.loading import load_exported
    from hebbevo.deploy.retraining import network
    from hebbevo.display.progress_bar import ProgressBar
    from hebbevo.nn.liveness.counting import count
    from hebbevo.opened_study import Study, open_study
    from hebbevo.outer.progress import Progress
    from hebbevo.study.comparison import Comparison, compare
    from hebbevo.study.copying import copy
    from hebbevo.study.summary import studies
    from hebbevo.version import __version__

__getattr__, __dir__ = lazy_imports.attach(
    __name__,
    {
        "hebbevo.api": ("resume", "search"),
        "hebbevo.deploy.compaction": ("compact",),
        "hebbevo.deploy.confirming": ("confirm",),
        "hebbevo.deploy.export.exporting": ("export",),
        "hebbevo.deploy.export.loading": ("load_exported",),
        "hebbevo.deploy.retraining": ("network",),
        "hebbevo.display.progress_bar": ("ProgressBar",),
        "hebbevo.nn.liveness.counting": ("count",),
        "hebbevo.opened_study": ("Study", "open_study"),
        "hebbevo.outer.progress": ("Progress",),
        "hebbevo.study.comparison": ("Comparison", "compare"),
        "hebbevo.study.copying": ("copy",),
        "hebbevo.study.summary": ("studies",),
        "hebbevo.version": ("__version__",),
    },
    modules=("data", "errors", "nn", "rules", "samplers", "spec"),
)

__all__ = [
    "Comparison",
    "Progress",
    "ProgressBar",
    "Study",
    "__version__",
    "compact",
    "compare",
    "confirm",
    "copy",
    "count",
    "export",
    "load_exported",
    "network",
    "open_study",
    "resume",
    "search",
    "studies",
]
