"""Iterative magnitude: train, prune, train on, and so forth; on request, from early weights (the lottery).

Han et al., 2015, arXiv:1506.02626, section 3. The training up to the settling phase has ``rounds`` + 1 parts
of equal length, and connections leave between two parts: of the weights w of a layer that are left, those
with

    |w| < q sd(w)                                                    (1)

q is ``quality``. With ``share`` p above zero, the fraction p of the smallest |w| that are left leaves instead
(Frankle & Carbin, 2019, arXiv:1803.03635, section 1), so that after all rounds

    left = (1 - p)^rounds                                            (2)

With ``rewind_step`` t above zero, all weights that are left are set back after every pruning to what they
were at the beginning of step t (Frankle et al., 2020, arXiv:1912.05671, for t > 1; Frankle & Carbin for 1).

Neurons without connections go: they lie on no path, so they count as pruned, and so do their connections.
Networks of hebbevo have no dropout. In a model with dropout of the rate D_o, Han's rate is
D_o sqrt(1 - sparsity) (their equation 1).

Changes against the papers: one training is divided, in place of one training for each round; biases and the
learning rate are not set back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.connections.rule import ByCount, ConnectionLayer
from hebbevo.rules.rule import Buffer, Need, Needs
from hebbevo.rules.settling import SETTLE, last_event_step
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor


class IterativeMagnitude(ByCount):
    """Small weights leave in a few rounds, between which the others are trained."""

    name = "iterative_magnitude"
    needs: ClassVar[Needs] = {Need.LENGTH: ()}
    buffers: ClassVar = {"early": Buffer()}
    knobs = table(
        Knob("rounds", int, 3, "how often connections leave", low=1, sensible=(1, 10)),
        Knob(
            "quality", float, 0.7,
            "weights below so many standard deviations of those of the layer leave; share: 0",
            low=0.0, sensible=(0.1, 3.0), log=True,
        ),
        Knob(
            "share", float, 0.0,
            "fraction of the connections that are left which leaves in a round; 0: quality decides",
            low=0.0, high=1.0, sensible=(0.1, 0.9),
        ),
        Knob(
            "rewind_step", int, 0,
            "after every round, weights are set back to what they were at this step (1: the first); 0: never",
            low=0, sensible=(0, 500),
        ),
        SETTLE,
    )  # fmt: skip

    def observe(self, k: Any, s: Any, layer: ConnectionLayer) -> None:
        """Keep the weights of the step to which they may be set back."""
        s.early.copy_(layer.weight.where(layer.step == k.rewind_step, s.early))

    def observes(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """At that step."""
        observed: Tensor = step == k.rewind_step
        return observed

    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """After each of the equal parts but the last."""
        part = last_event_step(k, total).clamp(min=1)
        ended, before = (each * (k.rounds + 1) // part for each in (step, step - 1))
        return (step > 0) & (ended > before) & (ended <= k.rounds)

    def left(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """How many connections equation 1 or 2 leaves, int64; weights of zero are those of pruned units."""
        present = layer.mask & (layer.weight != 0)
        number = layer.count(present)
        weight = layer.weight.masked_fill(~present, 0)
        mean = self._mean(weight, layer, number)
        sd = self._mean((weight - mean).square().masked_fill(~present, 0), layer, number).sqrt()
        large = layer.count(present & (weight.abs() >= k.quality * sd))
        return large.where(k.share == 0, (number * (1 - k.share)).round().long())

    def drop(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """|w|: the smallest weights leave."""
        return layer.weight.abs()

    def start(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """The early weights."""
        early: Tensor = s.early
        return early

    def restarts(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """Whether weights are set back."""
        restarts: Tensor = (k.rewind_step > 0) & (layer.step >= k.rewind_step)
        return restarts

    def _mean(self, values: Tensor, layer: ConnectionLayer, number: Tensor) -> Tensor:
        """The mean over so many connections of each network, laid along the weights; all others are zero."""
        mean: Tensor = layer.summed(values) / number.clamp(min=1)
        return mean
