"""Sign symmetry: the backward pass goes through the signs of the weights, in sizes of its own.

Liao, Leibo & Poggio, 2016, arXiv:1510.05067; Moskovitz, Litwin-Kumar & Abbott, 2018, arXiv:1812.06488. With
sigma = feedback_scale sqrt(2 / (fan-in + fan-out)), the standard deviation of Glorot's weights, B is

    uSF:   sigma sign(W)                              (1)
    frSF:  |N| sign(W), N ~ normal(0, sigma^2) drawn once    (2)
    brSF:  the same with N drawn anew for every minibatch    (3)

B is a function of W, so a connection that is out has no B, and B follows every change of W.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.credit.alignment import FEEDBACK_SCALE
from hebbevo.rules.credit.rule import CreditLayer, CreditRule
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor

UNIFORM, FIXED, BATCH = SIZES = ("uniform", "fixed", "batch")
_STREAM = 0


class SignSymmetry(CreditRule):
    """Signs of W, and sizes that are equal, drawn once, or drawn for every minibatch."""

    name = "sign_symmetry"
    knobs: ClassVar = table(
        Knob(
            "sign_size", str, UNIFORM,
            "sizes of backward weights: uniform (uSF), drawn once (fixed, frSF) or each time (batch, brSF)",
            choices=SIZES,
        ),
        FEEDBACK_SCALE,
    )  # fmt: skip

    def forward(self, k: Any, s: Any, layer: CreditLayer, x: Tensor) -> Tensor:
        """The plain outputs; the backward pass goes through signs."""
        return layer.through(x, self.backward_weight(k, s, layer))

    def backward_weight(self, k: Any, s: Any, layer: CreditLayer) -> Tensor:
        """Equations 1 to 3."""
        weight = layer.weight.detach()
        once = k.sign_size == SIZES.index(FIXED)
        drawn = layer.draw(tuple(weight.shape), _STREAM, once=once).to(weight.dtype)
        sizes = ((2 * drawn - 1).erfinv() * 2**0.5).abs()
        sizes = sizes.where(k.sign_size != SIZES.index(UNIFORM), sizes * 0 + 1)
        sigma = k.feedback_scale * (2 / sum(layer.fan)) ** 0.5
        found: Tensor = sigma * sizes * weight.sign()
        return found
