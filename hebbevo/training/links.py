"""Which networks are chains of linear layers and units, and the slots that their layers may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import fx, nn

from hebbevo.networks.mlp import MLP
from hebbevo.nn import Dense, InputStamina, PlasticUnits, Stamina

_MULTIPLE = 8  # slots that matrix products like
# from a level to the next: the share of the weights that is left at most, and weights less at least
_STEPS = ((1 / 2, 32_000), (1 / 3, 4_000))
_KNOWN = {
    MLP, nn.Sequential, nn.ModuleList, nn.Linear, nn.Identity, nn.Flatten,
    nn.ReLU, Dense, Stamina, InputStamina,
}  # fmt: skip
_PASSING = (nn.Identity, nn.Flatten)
INPUTS = -1
"""The place of units before the first layer."""


@dataclass(frozen=True)
class Links:
    """What a chain is made of, by dotted name, and its widths when nobody is out.

    Attributes:
        layers: the linear layers, in their order.
        units: the units behind each of them, and those before the first at place -1: empty where are none.
        widths: inputs, units of each hidden layer, outputs.
        bias: whether each layer has one.
    """

    layers: tuple[str, ...]
    units: dict[int, str]
    widths: tuple[int, ...]
    bias: tuple[bool, ...]

    @classmethod
    def of(cls, net: nn.Module) -> Links | None:
        """Find them, if ``net`` is a chain of layers and units that are known here."""
        if type(net) not in (MLP, nn.Sequential) or any(map(_is_strange, net.modules())):
            return None
        layers: list[str] = []
        units: dict[int, str] = {}
        before, *calls, _ = _Tracer().trace(net).nodes
        for node in calls:
            if node.all_input_nodes != [before]:
                return None
            before, name = node, str(node.target)
            if node.op == "call_method":
                if (name, node.args[1:]) != ("flatten", (1,)) or layers:
                    return None
                continue
            module = net.get_submodule(name)
            if isinstance(module, nn.Linear):
                layers.append(name)
            elif not isinstance(module, _PASSING):
                place = len(layers) - 1
                if place in units or (place == INPUTS) is not isinstance(module, InputStamina):
                    return None
                units[place] = name
            elif isinstance(module, nn.Flatten) and (layers or (module.start_dim, module.end_dim) != (1, -1)):
                return None
        linear = [layer for name in layers if isinstance(layer := net.get_submodule(name), nn.Linear)]
        called = [*layers, *units.values()]
        if not layers or len(set(called)) < len(called) or len(layers) - 1 in units:
            return None
        parameters = [each for layer in linear for each in layer.parameters()]
        if len({*map(id, parameters)}) < len(parameters) or not all(p.requires_grad for p in parameters):
            return None
        widths = (linear[0].in_features, *(layer.out_features for layer in linear))
        return cls(tuple(layers), units, widths, tuple(layer.bias is not None for layer in linear))

    def levels(self, mortal: Sequence[int]) -> list[tuple[int, ...]]:
        """Widths with fewer and fewer slots in the ``mortal`` layers; the first have one for everybody."""
        found = [self.widths]
        most = max((self.widths[place + 1] for place in mortal), default=0)
        for slots in range(most, 0, -1):
            widths = list(self.widths)
            for place in mortal:
                width = self.widths[place + 1]
                widths[place + 1] = min(width, -(-width * slots // (most * _MULTIPLE)) * _MULTIPLE)
            before, after = (sum(a * b for a, b in pairwise(each)) for each in (found[-1], widths))
            if any(after <= share * before and before - after >= worth for share, worth in _STEPS):
                found.append(tuple(widths))
        return found


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, PlasticUnits) or super().is_leaf_module(m, module_qualified_name)


def _is_strange(module: nn.Module) -> bool:
    if type(module) not in _KNOWN or "forward" in vars(module):
        return True
    if module._forward_hooks or module._forward_pre_hooks:
        return True
    if isinstance(module, Stamina | InputStamina):
        return module.dim != -1 or module.regularised
    return False
