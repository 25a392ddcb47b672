"""What a new space file has to know of a network of the user's: its plastic modules and its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hebbevo import user_code
from hebbevo.space.knobs import Knob, Value
from hebbevo.spec.new.genes import NewGene, argument_genes


@dataclass(frozen=True)
class OwnNetwork:
    """What a new space file has to know of a network of the user's.

    Attributes:
        arguments: a gene for each argument of the function that builds it.
        knobs: those of the plastic modules in it, by name.
        multiply_adds: of the network with the largest arguments, for one row.
        count: what survivors are: neurons, or connections where no unit can be pruned.
    """

    arguments: Sequence[NewGene]
    knobs: Mapping[str, Knob]
    multiply_adds: int
    count: str


def own_network(module: str, shape: tuple[int, ...], outputs: int) -> OwnNetwork:
    """Build the network with the largest arguments, and look at it.

    Args:
        module: the function as ``package.module:name``.
        shape: shape of one row of the data.
        outputs: number of classes, or 1.

    Raises:
        UsageError: the function cannot be imported, has arguments of unknown types, or raises an exception.
    """
    import torch

    from hebbevo.networks import UserNetwork
    from hebbevo.nn import plastic_modules
    from hebbevo.nn.liveness.counting import count
    from hebbevo.nn.units import plastic_units

    user_code.refresh([module])
    genes = argument_genes(module)
    largest = {each.name: _largest(each.gene) for each in genes if each.gene}
    net = UserNetwork(module, shape, outputs).build(largest, seed=0)
    names = {each.name for each in genes}
    knobs = {
        name: knob
        for plastic in plastic_modules(net).values()
        for name, knob in plastic.knobs.items()
        if name not in names
    }
    adds = count(net, torch.zeros(1, *shape))["multiply_adds"].loc["total"]
    is_by_units = bool(plastic_units(net)) or not knobs
    return OwnNetwork(genes, knobs, int(adds), "neurons" if is_by_units else "connections")


def _largest(gene: Mapping[str, Any]) -> Value:
    """The value of a gene that makes the largest network, most likely."""
    value: Value = gene["choices"][-1] if "choices" in gene else gene["high"]
    return value
