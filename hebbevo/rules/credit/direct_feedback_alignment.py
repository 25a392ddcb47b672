"""Direct feedback alignment: every layer gets the error of the outputs through random weights.

Nokland, 2016, arXiv:1609.01596. With e the gradient of the loss with respect to the network's outputs, the
inputs x of a layer have the gradient

    dx = e B    (1)

in place of what its outputs send back; B, (outputs of the network, inputs of the layer), is drawn once. Units
before x apply their derivative to it. The weights of the layer itself have the gradient g' x, where g is what
arrives at its own outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.credit.alignment import FEEDBACK_SCALE
from hebbevo.rules.credit.rule import CreditLayer, CreditRule
from hebbevo.space.knobs import table

if TYPE_CHECKING:
    from torch import Tensor


class DirectFeedbackAlignment(CreditRule):
    """The plain layer, whose inputs have the error of the outputs as their gradient."""

    name = "direct_feedback_alignment"
    knobs = table(FEEDBACK_SCALE)
    is_direct = True

    def forward(self, k: Any, s: Any, layer: CreditLayer, x: Tensor) -> Tensor:
        """The plain outputs."""
        return layer.with_output_error(x)
