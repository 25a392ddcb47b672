"""The density of a layer: which fraction of its connections it has, as three knobs say.

A layer has n_out outputs, n_in inputs (of a group, in a convolution) and a kernel of sides s. With r the
quantity of

    r_ER = (n_in + n_out) / (n_in n_out)                           (1)
    r_ERK = (n_in + n_out + sum s) / (n_in n_out prod s)           (2)

a layer by itself has the density min(1, epsilon r) (Mocanu et al., 2018, arXiv:1707.04780, equation 1, for
ER; Evci et al., 2020, arXiv:1911.11134, for ERK). Under a global distribution epsilon is found instead: it is
the number at which all layers together have as many connections as they would have at ``density`` each.
Layers of which this asks for more connections than they have are dense, and the others share the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

UNIFORM, ERDOS_RENYI, ERK, GLOBAL_ERDOS_RENYI, GLOBAL_ERK = DISTRIBUTIONS = (
    "uniform",
    "erdos_renyi",
    "erk",
    "global_erdos_renyi",
    "global_erk",
)

DENSITY = Knob(
    "density", float, 0.1, "fraction of a layer's connections that is left in the end",
    low=0.0, high=1.0, sensible=(0.01, 1.0), log=True,
)  # fmt: skip
DISTRIBUTION = Knob(
    "distribution", str, UNIFORM,
    "what gives a layer its density: the knob density, or Erdos-Renyi (erk: with kernels) from epsilon; "
    "global: from the density of the network",
    choices=DISTRIBUTIONS,
)  # fmt: skip
EPSILON = Knob(
    "epsilon", float, 13.0, "Erdos-Renyi: connections of a layer over the sum of its inputs and outputs",
    low=0.0, sensible=(0.3, 50.0), log=True,
)  # fmt: skip


def shares(k: Sequence[Any], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """The density of every layer of a network, or of many, (...) each.

    Args:
        k: knobs of each layer, (...).
        shapes: of its weights, (outputs, inputs, *kernel).
    """
    sizes = [math.prod(shape) for shape in shapes]
    ratios = [_ratio(each, shape) for each, shape in zip(k, shapes, strict=True)]
    shared = [each.distribution >= DISTRIBUTIONS.index(GLOBAL_ERDOS_RENYI) for each in k]
    dense = [each & False for each in shared]
    found = ratios
    for _ in range(len(k) + 1):  # each round but the last makes a layer dense, or changes nothing
        budget: Any = sum(
            own * n * (each.density.double() - full.double())
            for own, n, each, full in zip(shared, sizes, k, dense, strict=True)
        )
        room: Any = sum(
            (own & ~full) * n * r for own, n, r, full in zip(shared, sizes, ratios, dense, strict=True)
        )
        found = [ratio * (budget / room) for ratio in ratios]
        dense = [full | (own & (each >= 1)) for full, own, each in zip(dense, shared, found, strict=True)]
    layered = [(each.epsilon.double() * ratio).clamp(max=1) for each, ratio in zip(k, ratios, strict=True)]
    whole = [each.masked_fill(full, 1) for each, full in zip(found, dense, strict=True)]
    return [
        each.density.where(
            each.distribution == DISTRIBUTIONS.index(UNIFORM),
            network.where(own, alone).to(each.density.dtype),
        )
        for each, network, own, alone in zip(k, whole, shared, layered, strict=True)
    ]


def _ratio(k: Any, shape: Sequence[int]) -> Tensor:
    """Equation 1 or 2, (...) double."""
    outputs, inputs, *kernel = shape
    plain = (inputs + outputs) / (inputs * outputs)
    with_kernel = (inputs + outputs + sum(kernel)) / math.prod(shape)
    has_kernel = (k.distribution == DISTRIBUTIONS.index(ERK)) | (
        k.distribution == DISTRIBUTIONS.index(GLOBAL_ERK)
    )
    ratio: Tensor = has_kernel.double() * (with_kernel - plain) + plain
    return ratio
