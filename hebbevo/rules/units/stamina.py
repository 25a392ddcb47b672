"""Stamina: units gain by activity, pay for silence, and are pruned when they are exhausted.

From spell00/hebbLayers (https://github.com/spell00/hebbLayers), which has no paper; the equations are
numbered here. With activity a_bj of unit j on sample b, mu_b its mean over the n living units, of which n+
fire and n0 are silent:

    v_bj = 2 (1 - p_j) a_bj - 2 p_j beta c_b [unit j is silent on b]    (1)

    c_b = mu_b             penalty_form "mean"                          (2)
          mu_b n0 / n+                  "ratio"
          mu_b n / n0                   "zero_sum"
          1                             "constant"

    S_j <- lambda S_j + mean_b v_bj                                     (3)
    R   <- lambda R + mean_b mu_b                                       (4)
    stamina_j = S_j / R                                                 (5)

beta is ``unactivation_penalty``, p ``firing_prior`` and lambda ``stamina_decay``. With p = 1/2, the default,
v is the activity less beta c_b. For frequencies and c_b = beta = 1 equation 1 is twice the log-odds rule [j
fires] - p_j.

Changes against the original:

- stamina is free of scale (equation 5) and may forget;
- units are masked in place of sliced;
- statistics come from training minibatches only;
- a unit is regrown as in ReDo (Sokar et al., 2023, arXiv:2302.12902, section 4), with fresh incoming weights,
  outgoing weights of zero and no optimiser moments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Asked, Buffer, Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, unit_knobs
from hebbevo.rules.units.statistics import Minibatch, OptionSelector, Statistic
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
        "what counts as activity: the activation; firing at all; or the activation's standard deviation "
        "times the norm of the outgoing weights",
        choices=ACTIVITIES,
    ),
    Knob(
        "firing_prior", float, 0.5,
        "probability with which a neuron is expected to fire; a low one spares neurons that rarely fire",
        low=0.0, high=1.0, sensible=(0.05, 0.95), per_unit=True,
    ),
    Knob(
        "stamina_decay", float, 0.98, "what is left of the stamina after a forward step; 1 never forgets",
        low=0.0, high=1.0, sensible=(0.9, 1.0),
    ),
    Knob(
        "size_penalty", float, 0.0,
        "weight of the loss on units that contribute more than the layer's mean; small ones pay nothing",
        low=0.0, sensible=(1e-5, 1.0), log=True,
    ),
    Knob(
        "entropy_bonus", float, 0.0,
        "weight of the entropy of a layer's mean outputs, which is maximised; it is largest for equal ones",
        low=0.0, sensible=(1e-5, 1.0), log=True,
    ),
)  # fmt: skip
_THRESHOLD = Knob(
    "hebbian_threshold", float, 0.0,
    "a neuron is pruned when its stamina, in units of the layer's mean activity, is not above this",
    sensible=(-1.0, 1.0),
)  # fmt: skip


class BalancedActivity(Statistic):
    """The decayed sums S of gains less penalties (``gain``) and R of the mean activity (``reference``)."""

    buffers: ClassVar = {"gain": Buffer(), "reference": Buffer()}

    def constants(
        self, k: Any, s: Any, selector: Callable[[Tensor], OptionSelector]
    ) -> Mapping[str, Tensor | OptionSelector]:
        """The two weights of equation 1 for living units, and how many units live."""
        alive = s.alive.to(s.gain.dtype)
        return {
            "alive": alive,
            "living": alive.sum(-1, keepdim=True).clamp(min=1),
            "gain_weight": 2 * (1 - k.firing_prior) * alive,
            "penalty_weight": -2 * k.firing_prior * k.unactivation_penalty * alive,
            "activity": selector(k.activity),
            "penalty_form": selector(k.penalty_form),
        }

    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        """Add a minibatch to S and R, equations 3 and 4."""
        living, fires = c.living, batch.fires
        firing = fires.sum(-1)  # n+ of each sample

        @cache
        def contribution() -> Tensor:
            # standard deviation over the minibatch x norm of the outgoing weights, one number for each unit
            spread: Tensor = (batch.square - batch.mean.square()).clamp(min=0).sqrt() * s.outgoing
            return spread

        mean = c.activity.select(  # mu_b, (..., rows)
            lambda: batch.size.sum(-1) / living,
            lambda: firing / living,
            lambda: (contribution().sum(-1, keepdim=True) / living).expand_as(firing),
        )
        level = c.penalty_form.select(  # c_b of eq. 2, (..., rows)
            lambda: mean,
            lambda: mean * (living - firing) / firing.clamp(min=1),
            lambda: mean * living / (living - firing).clamp(min=1),
            lambda: mean.new_ones(mean.shape),
        )
        activity = c.activity.select(lambda: batch.mean_size, lambda: batch.firing_rate, contribution)
        # the mean of c_b [j is silent] is that of c_b less that of c_b [j fires]: a product of matrices
        level_firing = (level.unsqueeze(-2) @ fires).squeeze(-2) / batch.y.shape[-2]
        level_silent = level.mean(-1, keepdim=True) - level_firing
        s.gain.mul_(k.stamina_decay)  # eq. 3
        s.gain.addcmul_(c.gain_weight, activity).addcmul_(c.penalty_weight, level_silent)
        s.reference.mul_(k.stamina_decay).addcmul_(c.alive, mean.mean(-1, keepdim=True))  # eq. 4


class Stamina(UnitRule):
    """The stamina of a unit: its gains less its penalties, in units of the layer's mean activity."""

    name = "stamina"
    knobs = unit_knobs(*_KNOBS, scheduled=schedule.THRESHOLD, threshold=_THRESHOLD)
    threshold = _THRESHOLD.name
    needs: ClassVar[Needs] = {Need.OUTGOING: (Asked("activity", "contribution"), Asked("size_penalty"))}
    statistics = (BalancedActivity(),)
    penalties = ("size_penalty", "entropy_bonus")

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Stamina, (..., n)."""
        stamina: Tensor = s.gain / s.reference.clamp(min=1e-30)  # eq. 5
        return stamina

    def penalty(self, k: Any, s: Any, outputs: Tensor, alive: Tensor) -> Tensor:
        """Penalise large units and a low entropy of outputs.

        With the mean outputs m over a minibatch, q_j = m_j / sum_i m_i, the standard deviations sigma_j of
        the outputs, and c_j = sigma_j ||w_out,j||:

            size_penalty sum_j max(0, c_j / mean_i c_i - 1)^2 + entropy_bonus sum_j q_j log q_j    (6)

        The sum and the mean in the first term are those of living units. It is one-sided, and its mean counts
        as a constant: a penalty on small units, or on the mean, would lift those that are about to die. The
        outgoing weights are those of the last event.
        """
        mean = outputs.mean(0)
        share = mean / mean.sum().clamp(min=1e-12)  # q
        entropy = -(share * share.clamp(min=1e-12).log()).sum()
        # the small number keeps the gradient of the root finite where a unit is silent
        contribution = (outputs.var(0, correction=0) + 1e-12).sqrt() * s.outgoing * alive
        mean_contribution = contribution.detach().sum() / alive.sum().clamp(min=1)
        large = ((contribution / mean_contribution.clamp(min=1e-12) - 1).clamp(min=0).square() * alive).sum()
        weighted: Tensor = k.size_penalty * large - k.entropy_bonus * entropy  # eq. 6
        return weighted
