"""Stamina: units gain by activity, pay for silence, and are pruned when exhausted (spell00/hebbLayers).

Changes against the original: stamina is scale-free and may forget, units are masked (not sliced), statistics
come from training batches only, and a returning unit is recycled as in ReDo (Sokar et al., 2023,
arXiv:2302.12902).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Asked, Buffer, Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, unit_knobs
from hebbevo.rules.units.statistics import Choice, Minibatch, Statistic
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

ACTIVITIES = ("activation", "frequency", "contribution")
PENALTY_FORMS = ("mean", "ratio", "zero_sum", "constant")

_KNOBS = (
    Knob(
        "unactivation_penalty", float, 1.0, "what a silent neuron pays, in units of the penalty form",
        low=0.0, sensible=(1e-2, 1e2), log=True,
    ),
    Knob(
        "penalty_form", str, "mean",
        "penalty level of a sample: mean activity; mean x silent/firing; "
        "mean x all/silent (sums to zero at penalty 1); one",
        choices=PENALTY_FORMS,
    ),
    Knob(
        "activity", str, "activation",
        "what counts as use: the activation, firing at all, or its spread times the outgoing weights'"
        " norm",
        choices=ACTIVITIES,
    ),
    Knob(
        "firing_prior", float, 0.5,
        "probability with which a neuron is expected to fire; low values forgive rare neurons",
        low=0.0, high=1.0, sensible=(0.05, 0.95), per_unit=True,
    ),
    Knob(
        "stamina_decay", float, 0.98, "what is left of the stamina after a forward step; 1 never forgets",
        low=0.0, high=1.0, sensible=(0.9, 1.0),
    ),
    Knob(
        "large_neuron_penalty", float, 0.0,
        "weight of the loss sum_j (y_j / mean - 1)^2 over the layer's mean outputs y",
        low=0.0, sensible=(1e-5, 1.0), log=True,
    ),
    Knob(
        "entropy_bonus", float, 0.0,
        "weight of the entropy of a layer's mean outputs, to be maximised; uniform is best",
        low=0.0, sensible=(1e-5, 1.0), log=True,
    ),
)  # fmt: skip
_THRESHOLD = Knob(
    "hebbian_threshold", float, 0.0,
    "a neuron dies when its stamina, in units of the layer's mean activity, is not above this",
    sensible=(-1.0, 1.0),
)  # fmt: skip


class BalancedActivity(Statistic):
    """The decayed sums of v, gains less penalties, and of the layer's mean activity.

    v_bj = 2 (1 - p_j) activity_bj - 2 p_j penalty c_b [j silent on b], with the penalty level c_b of sample b
    after the penalty form. The firing prior p weighs the two terms: for frequencies and c_b = 1 that is twice
    the log-odds rule [fires] - p.
    """

    buffers: ClassVar = {"gain": Buffer(), "reference": Buffer()}

    def constants(self, k: Any, s: Any, choice: Callable[[Tensor], Choice]) -> Mapping[str, Tensor | Choice]:
        """Both weights of v for living units, and how many live."""
        alive = s.alive.to(s.gain.dtype)
        return {
            "alive": alive,
            "living": alive.sum(-1, keepdim=True).clamp(min=1),
            "gains": 2 * (1 - k.firing_prior) * alive,
            "pays": -2 * k.firing_prior * k.unactivation_penalty * alive,
            "activity": choice(k.activity),
            "penalty_form": choice(k.penalty_form),
        }

    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        """Add the mean of v over a minibatch, and that of the activity of a living unit."""
        living, fires = c.living, batch.fires
        firing = fires.sum(-1)  # n+ of each sample

        @cache
        def contribution() -> Tensor:
            spread: Tensor = (batch.square - batch.mean.square()).clamp(min=0).sqrt() * s.outgoing
            return spread

        mean = c.activity.of(  # over the living units, (..., rows)
            lambda: batch.size.sum(-1) / living,
            lambda: firing / living,
            lambda: (contribution().sum(-1, keepdim=True) / living).expand_as(firing),
        )
        level = c.penalty_form.of(  # c_b
            lambda: mean,
            lambda: mean * (living - firing) / firing.clamp(min=1),
            lambda: mean * living / (living - firing).clamp(min=1),
            lambda: mean.new_ones(mean.shape),
        )
        activity = c.activity.of(lambda: batch.mean_size, lambda: batch.firing_rate, contribution)
        spared = (level.unsqueeze(-2) @ fires).squeeze(-2) / batch.y.shape[-2]
        unpaid = level.mean(-1, keepdim=True) - spared  # mean over the samples in which j is silent
        s.gain.mul_(k.stamina_decay)
        s.gain.addcmul_(c.gains, activity).addcmul_(c.pays, unpaid)
        s.reference.mul_(k.stamina_decay).addcmul_(c.alive, mean.mean(-1, keepdim=True))


class Stamina(UnitRule):
    """Stamina is the decayed sum of v over that of the layer's mean activity, so it is free of scale."""

    name = "stamina"
    knobs = unit_knobs(*_KNOBS, scheduled=schedule.THRESHOLD, threshold=_THRESHOLD)
    threshold = _THRESHOLD.name
    needs: ClassVar[Needs] = {Need.OUTGOING: (Asked("activity", "contribution"),)}
    statistics = (BalancedActivity(),)
    penalties = ("large_neuron_penalty", "entropy_bonus")

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Stamina, (..., n)."""
        stamina: Tensor = s.gain / s.reference.clamp(min=1e-30)
        return stamina

    def penalty(self, k: Any, outputs: Tensor, alive: Tensor) -> Tensor:
        """Penalise large units, sum_j (m_j / mean - 1)^2, and low entropy of q_j = m_j / sum_k m_k."""
        mean = outputs.mean(0)
        share = mean / mean.sum().clamp(min=1e-12)
        large = ((share * alive.sum().clamp(min=1) - 1).square() * alive).sum()
        entropy = -(share * share.clamp(min=1e-12).log()).sum()
        weighted: Tensor = k.large_neuron_penalty * large - k.entropy_bonus * entropy
        return weighted
