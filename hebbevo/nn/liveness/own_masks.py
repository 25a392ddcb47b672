"""What counts as alive where a network cannot be followed: each module's own mask, without any paths.

Plastic units have a mask of living units, and a layer has weights that are zero or not. Whether a unit that
its own mask keeps is reached by the inputs remains unknown, so these counts are upper bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.forward_pass.following import LAYERS, NotFollowed, layer_name
from hebbevo.nn.units import plastic_units


@dataclass(frozen=True)
class AliveParts:
    """What is alive of one layer or norm.

    Attributes:
        units: (units,) bool.
        connections: bool, of the shape of the weights.
    """

    units: Tensor
    connections: Tensor


def alive_units(net: nn.Module) -> dict[str, Tensor]:
    """Masks of living units, (units,) bool, by the name of the module.

    They are those of plastic modules. A network without any has those of its layers, except for the last.
    """
    if plastic := plastic_units(net):
        return {name: module.alive for name, module in plastic.items()}
    return {name: own.units for name, own in list(nonzero_weights(net).items())[:-1]}


def nonzero_weights(net: nn.Module) -> dict[str, AliveParts]:
    """Weights of linear layers and convolutions that are not zero, and units that have any, by name."""
    masked = {
        id(mask.module.get_submodule(name.rpartition(".")[0])): weight
        for mask in net.modules()
        if isinstance(mask, PlasticConnections)
        for name, weight in mask.weights().items()
    }
    found = {}
    for name, module in net.named_modules():
        if isinstance(module, LAYERS):
            weight = masked.get(id(module), module.weight).detach() != 0
            by_unit = weight
            if "Transpose" in type(module).__name__:  # (in, out / groups, ...)
                groups = int(getattr(module, "groups", 1))
                by_unit = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
            found[layer_name(net, name)] = AliveParts(by_unit.flatten(1).any(1), weight)
    return found


def is_input(net: nn.Module, name: str) -> bool:
    """Whether the units of the plastic module of that name are elements of the input."""
    return bool(getattr(net.get_submodule(name), "inputs", False))


def fallback_note(reason: NotFollowed) -> str:
    """A note that each module's own mask counts, and why."""
    return f"not followed: {reason}; each module's own mask counts"
