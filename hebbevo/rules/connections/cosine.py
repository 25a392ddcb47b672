"""Cosine: connections between neurons whose activities point the same way enter; weak or unlike ones leave.

Pieterse & Mocanu, 2019, arXiv:1903.07138 version 1 (five algorithms), and Atashgahi et al., 2022, Machine
Learning 111, arXiv:1903.07138 version 3 (CTRE). The similarity of an input a_i and an output a_j is

    S_ij = |<a_i, a_j>| / (||a_i|| ||a_j||)                          (1)

over all rows since the last event, where a_j is the layer's output after a rectifier. At every event the
share f_t of the connections leaves (`hebbevo.rules.connections.rewiring`):

    magnitude:        those with the smallest |w_ij|
    cosine:           those with the smallest S_ij
    weighted_cosine:  those with the smallest |w_ij| S_ij                   (2)

and as many enter, of all that have not stayed:

    random:              at random                                   (3)
    cosine:              those with the largest S_ij                 (4)
    cosine_probability:  at random, each draw with P_ij ~ S_ij       (5)
    sequential:          by (4), and by (3) for good after ``plateau`` events without a lower training loss
    simultaneous:        by (4); those that have just left are replaced by as many random ones

`VARIANTS` has the published algorithms. Connections enter with weights drawn as at the start, as in CTRE.
(5) is one sort: the highest u^(1 / S_ij), u uniform, are such draws (Efraimidis & Spirakis, 2006). Version 1
removes by |w| S (a copy of its authors' code, https://github.com/harel-coffee/CosineSET-auto), where S alone
is an option that its paper leaves out.

Changes against the code of version 1:

- a_j is rectified, where theirs is the output before the units;
- the smallest |w| or |w| S of all leave, where theirs takes a share of each sign, as `set` does;
- connections enter with fresh weights, where theirs are zero;
- the output layer is rewired too, where theirs is dense.

Changes against that of CTRE:

- sums are streamed, so every minibatch counts as the network was at that step;
- no event falls before there are sums (theirs has its first one after the first step);
- a random replacement never meets a connection that is in already;
- the outputs of the last layer are rectified as well, where theirs has a softmax;
- the plateau is one of the training loss, where theirs is one of the validation accuracy over 40 epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.connections.rewiring import GROWTH_STREAM, NEEDS, Rewiring, he_uniform, rewiring_knobs
from hebbevo.rules.connections.rule import ConnectionLayer
from hebbevo.rules.rule import Asked, Buffer, Need, Needs
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

BY_MAGNITUDE, BY_COSINE, BY_WEIGHTED_COSINE = DROPS = ("magnitude", "cosine", "weighted_cosine")
AT_RANDOM, HIGHEST, PROBABLE, SEQUENTIAL, SIMULTANEOUS = GROWTHS = (
    "random",
    "cosine",
    "cosine_probability",
    "sequential",
    "simultaneous",
)
VARIANTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "CoDASET": {"grow_by": HIGHEST, "drop_by": BY_MAGNITUDE},
        "CoPASET": {"grow_by": PROBABLE, "drop_by": BY_MAGNITUDE},
        "CoRSET": {"grow_by": AT_RANDOM, "drop_by": BY_WEIGHTED_COSINE},
        "CoDACoRSET": {"grow_by": HIGHEST, "drop_by": BY_WEIGHTED_COSINE},
        "CoPACoRSET": {"grow_by": PROBABLE, "drop_by": BY_WEIGHTED_COSINE},
        "CTRE": {"grow_by": HIGHEST, "drop_by": BY_MAGNITUDE},
        "CTRE sequential": {"grow_by": SEQUENTIAL, "drop_by": BY_MAGNITUDE},
        "CTRE simultaneous": {"grow_by": SIMULTANEOUS, "drop_by": BY_MAGNITUDE},
    }
)
"""The published algorithms, as values of two knobs; CoDASET and the pure CTRE are one algorithm."""


class Cosine(Rewiring):
    """Connections between similar neurons enter; those with small weights or unlike ends leave."""

    name = "cosine"
    needs: ClassVar[Needs] = {
        Need.COACTIVATION: (),
        Need.INPUT_SQUARE: (),
        Need.OUTPUT_SQUARE: (),
        Need.LOSS: (Asked("grow_by", SEQUENTIAL),),
        **NEEDS,
    }
    sums: ClassVar = {
        "together": Need.COACTIVATION,
        "inputs": Need.INPUT_SQUARE,
        "outputs": Need.OUTPUT_SQUARE,
    }
    buffers: ClassVar = dict.fromkeys(sums, Buffer())
    knobs = rewiring_knobs(
        Knob("grow_by", str, HIGHEST, "what lets connections enter", choices=GROWTHS),
        Knob("drop_by", str, BY_MAGNITUDE, "what is smallest in connections that leave", choices=DROPS),
        Knob(
            "plateau", int, 5,
            "grow_by=sequential: events in a row without a lower training loss, after which growth is random",
            low=1, sensible=(2, 20),
        ),
    )  # fmt: skip

    def signals(self, k: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Activities of both ends."""
        return x, y.clamp(min=0)

    def similarity(self, s: Any) -> Tensor:
        """Equation 1, 0 where an end was silent."""
        similarity: Tensor = s.together.abs() / (s.inputs * s.outputs).sqrt()
        return similarity.masked_fill(s.inputs * s.outputs == 0, 0)

    def drop(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """|w|, S or |w| S (eq. 2)."""
        magnitude, similarity = layer.weight.abs(), self.similarity(s)
        weighted = (magnitude * similarity).where(k.drop_by == DROPS.index(BY_WEIGHTED_COSINE), magnitude)
        return similarity.where(k.drop_by == DROPS.index(BY_COSINE), weighted)

    def grow(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Random numbers, S, or keys of draws in proportion to S (eq. 3 to 5)."""
        drawn, similarity = layer.draw(GROWTH_STREAM), self.similarity(s)
        has_switched = (k.grow_by == GROWTHS.index(SEQUENTIAL)) & (layer.longest_stall >= k.plateau)
        score = (drawn.log() / similarity).where(k.grow_by == GROWTHS.index(PROBABLE), similarity)
        return drawn.to(score.dtype).where((k.grow_by == GROWTHS.index(AT_RANDOM)) | has_switched, score)

    def enters(self, k: Any, s: Any, layer: ConnectionLayer, stays: Tensor) -> Tensor:
        """Which connections enter; see the list above for ``simultaneous``."""
        chosen = super().enters(k, s, layer, stays)
        again = chosen & layer.mask & (k.grow_by == GROWTHS.index(SIMULTANEOUS))
        kept = chosen & ~again
        # those chosen again come last: they enter only where nothing else is left
        replacements = layer.draw(GROWTH_STREAM).masked_fill(again, -1)
        return kept | layer.highest(replacements, layer.count(again), ~stays & ~kept & layer.living)

    def start(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Weights drawn as at the start."""
        return he_uniform(layer)
