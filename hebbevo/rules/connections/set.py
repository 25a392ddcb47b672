"""SET, sparse evolutionary training: weights near zero leave, and others enter at random.

Mocanu et al., 2018, Nature Communications 9:2383, arXiv:1707.04780, algorithm 1. At every event, of a layer
with the weights W,

    of the positive weights, the fraction zeta of the smallest leaves;        (1)

    of the negative weights, the fraction zeta of the largest leaves;         (2)

    as many connections enter at random, with weights drawn as at the start.  (3)

zeta is ``drop_fraction``; with ``distribution: erdos_renyi`` the first mask has the paper's density
epsilon (n_in + n_out) / (n_in n_out). The paper has an event after every epoch: ``rewire_period`` is then the
number of steps of an epoch.

Changes against the paper:

- the first mask has exactly the expected number of connections;
- a connection that leaves and is drawn again at the same event stays as it is;
- optimiser moments of connections that enter are zero;
- the mask of the last layer changes too; with ``density.N: 1`` in the last hidden layer N both are dense.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.connections.rewiring import GROWTH_STREAM, Rewiring, he_uniform, rewiring_knobs
from hebbevo.rules.connections.rule import ConnectionLayer

if TYPE_CHECKING:
    from torch import Tensor


class Set(Rewiring):
    """The smallest positive and the largest negative weights leave, and random connections enter."""

    name = "set"
    knobs = rewiring_knobs()

    def stays(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Which connections stay (eq. 1 and 2); weights of exactly zero leave, as in the authors' code."""
        size, stays = self.drop(k, s, layer), layer.mask & False
        for sign in (layer.weight > 0, layer.weight < 0):
            own = layer.mask & sign
            number = layer.count(own)
            leave = (self.fraction(k, layer) * number).floor().long()
            stays = stays | layer.highest(size, number - leave, own)
        return stays

    def drop(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """|w|."""
        return layer.weight.abs()

    def grow(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Random numbers (eq. 3)."""
        return layer.draw(GROWTH_STREAM)

    def start(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Weights drawn as at the start (eq. 3)."""
        return he_uniform(layer)
