"""What is found out once for all nets of a structure, by running one of them: its layers and their order.

Such a run costs milliseconds, as much as a tenth of the training of a small net.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from torch import Tensor, nn

from hebbevo.exclusive import PROCESS
from hebbevo.nn.liveness.paths import LivenessPlan
from hebbevo.nn.mlp_layout import mlp_layout
from hebbevo.nn.wiring import Wiring
from hebbevo.training.structure import Structure, structure

Found = TypeVar("Found")

_MOST = 64  # structures that are remembered, the latest


class PerStructure(Generic[Found]):
    """A function of a net that depends on its structure alone, as stacking does, and that remembers.

    It is for nets without code of the user, which may do something else at every call.

    Args:
        find: takes a net and perhaps an input.
    """

    def __init__(self, find: Callable[..., Found]) -> None:
        self._find = find
        self._found: OrderedDict[object, Found] = OrderedDict()

    def __call__(self, net: nn.Module, *x: Tensor, of: Structure | None = None) -> Found:
        """Give what was found for a net of this structure, or find it.

        Args:
            net: a net; left as it was.
            x: an input, (rows, *shape), if the function takes one.
            of: the structure of the net, where it is known.
        """
        key = of or structure(net), *((each.shape, each.device) for each in x)
        with PROCESS:
            if key not in self._found:
                self._found[key] = self._find(net, *x)
            self._found.move_to_end(key)
            if len(self._found) > _MOST:
                self._found.popitem(last=False)
            return self._found[key]


wiring_of = PerStructure(Wiring)
"""See `Wiring`."""

layout_of = PerStructure(mlp_layout)
"""See `mlp_layout`."""

plan_of = PerStructure(LivenessPlan.of)
"""See `LivenessPlan.of`."""
