"""Similarity matching: outputs become as similar to one another as the inputs, by Hebb's rule and inhibition.

A layer has Hebbian weights W and lateral inhibition L. Its linear units settle at

    r = (L + leak I)^-1 W x = F x    (1)

so F is a plain layer, and it is what the parameter ``weight`` holds: the network that is evaluated, counted
and exported has no recurrence. After each minibatch

    W += rate (<r x^T> - W),   L += rate (<r r^T> - L)    (2)

with means over rows and positions; W is F times L + leak I, so only L is kept. Both rates are equal: at half
the rate for L, which Obeid et al. have for units that saturate, linear ones oscillate. The objective is

    min over r of sum_tt' (x_t . x_t' - r_t . r_t')^2 + 2 T leak sum_t |r_t|^2    (3)

for T rows. At its optimum outputs span the eigenvectors of <x x^T> with the largest eigenvalues above the
leak, and an eigenvalue e there becomes e - leak. What is nonlinear are the units behind the layer.
`hebbevo.nn.SimilarityMatchingLinear` and `SimilarityMatching2d` have units that are nonlinear inside of the
fixed point. Pehlevan, Hu & Chklovskii, 2015, arXiv:1503.00669, have linear units; the local rules are those
of Obeid, Ramambason & Pehlevan, 2019, arXiv:1910.04958.

Units that have no input weights, as pruned ones, inhibit no other. Units of another group of a convolution
have other inputs, and do so neither. A bias stays as it is, and is no part of r.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.credit.rule import CreditLayer, CreditRule, Updates
from hebbevo.rules.rule import Buffer
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor


class SimilarityMatching(CreditRule):
    """Hebbian input weights and anti-Hebbian lateral inhibition, of which the layer has the fixed point."""

    name = "similarity_matching"
    knobs = table(
        Knob(
            "matching_rate", float, 0.05, "rate of the running means of inputs and outputs in a forward step",
            low=0.0, high=1.0, sensible=(1e-3, 0.3), log=True,
        ),
        Knob(
            "matching_decay", float, 0.0, "the rate of step t is the rate / (1 + this times t)",
            low=0.0, sensible=(0.0, 0.1),
        ),
        Knob(
            "matching_leak", float, 0.1,
            "what is added to each unit's inhibition of itself; weaker directions of the inputs are left out",
            low=1e-6, sensible=(1e-3, 1.0), log=True,
        ),
    )  # fmt: skip
    buffers: ClassVar[Mapping[str, Buffer]] = {"lateral": Buffer(pairs=True)}
    updates = True

    def update(self, k: Any, s: Any, layer: CreditLayer, x: Tensor, y: Tensor) -> Updates:
        """Equation 2, as a change of F."""
        weight, axis = layer.weight.flatten(1), 1 - layer.weight.dim()
        outputs = y.movedim(axis, -1)
        if layer.bias is not None:
            outputs = outputs - layer.bias
        rows = outputs.reshape(-1, len(weight))
        identity = weight.new_ones(len(weight)).diag()
        rate = k.matching_rate / (1 + k.matching_decay * layer.step)

        linked = _linked(layer)  # L is I elsewhere, so a unit that is regrown begins anew
        before = identity + (layer.step > 0) * linked * (s.lateral - identity)
        change = linked * (rows.mT @ rows / len(rows) - before)
        after = before + rate * change
        s.lateral.copy_(after)

        leaky = k.matching_leak * identity
        hebbian = layer.coactivation(x, outputs.movedim(-1, axis)).flatten(1) - (before + leaky) @ weight
        moved = layer.solve(after + leaky, rate * (hebbian - change @ weight))
        return Updates(moved.reshape(layer.weight.shape))


def _linked(layer: CreditLayer) -> Tensor:
    """Which pairs of units inhibit one another, (outputs, outputs) bool."""
    present = (layer.weight != 0).flatten(1).any(1)
    number = len(present)
    group = present.new_ones(number).cumsum(0).sub(1) // (number // layer.groups)
    return present.unsqueeze(-1) & present & (group.unsqueeze(-1) == group)
