"""Space files: what they may say, how they are read and checked, and what of them can be overridden.

Names are imported on first use: the command line needs the options alone for its help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hebbevo import lazy_imports

if TYPE_CHECKING:
    from hebbevo.spec.comparison import difference
    from hebbevo.spec.loading import read, read_mapping
    from hebbevo.spec.options import OPTIONS, Overrides
    from hebbevo.spec.overrides import override
    from hebbevo.spec.schema import Spec
    from hebbevo.spec.shipped_spaces import shipped
    from hebbevo.spec.structure import spec_from_json

__getattr__, __dir__ = lazy_imports.attach(
    __name__,
    {
        "hebbevo.spec.comparison": ("difference",),
        "hebbevo.spec.loading": ("read", "read_mapping"),
        "hebbevo.spec.options": ("OPTIONS", "Overrides"),
        "hebbevo.spec.overrides": ("override",),
        "hebbevo.spec.schema": ("Spec",),
        "hebbevo.spec.shipped_spaces": ("shipped",),
        "hebbevo.spec.structure": ("spec_from_json",),
    },
)

__all__ = [
    "OPTIONS",
    "Overrides",
    "Spec",
    "difference",
    "override",
    "read",
    "read_mapping",
    "shipped",
    "spec_from_json",
]
