"""RigL: the smallest weights leave, and connections with the largest gradients enter.

Evci et al., 2020, "Rigging the lottery", arXiv:1911.11134, algorithm 1. At every event, in a layer with k
connections and the loss L,

    ArgTopK(-|w|, f_t k) leave, among those that are in                  (1)
    ArgTopK(|dL/dw|, f_t k) enter, among all that have not stayed        (2)
    f_t = alpha / 2 (1 + cos(pi t / T_end))                              (3)

alpha is ``drop_fraction`` and T_end the end of the last phase with events; the paper ends at 3/4 of the
training, here ``settle: 0.25``. Connections enter with weight zero. The gradient is that of the last
minibatch, of all weights, whether they are in or not. The paper's densities are ``distribution: global_erk``.

Changes against the paper: an event follows a step of the optimiser, and does not replace it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.connections.rewiring import COSINE, NEEDS, Rewiring, rewiring_knobs
from hebbevo.rules.connections.rule import ConnectionLayer
from hebbevo.rules.rule import Need, Needs

if TYPE_CHECKING:
    from torch import Tensor


class RigL(Rewiring):
    """The smallest weights leave, and connections with the largest gradients enter."""

    name = "rigl"
    needs: ClassVar[Needs] = {Need.DENSE_GRADIENT: (), **NEEDS}
    knobs = rewiring_knobs(drop_schedule=COSINE)

    def drop(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """|w| (eq. 1)."""
        return layer.weight.abs()

    def grow(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """|dL/dw| (eq. 2)."""
        return layer.gradient.abs()
