"""Frequency: the units that fire least often are pruned, as far as the evidence outweighs a prior.

Before a unit has been seen, it is believed to fire with the probability pi with which the living units of its
layer have fired. The belief is a Beta distribution that is worth ``belief`` forward steps of evidence. With
f_j the share of rows in which unit j has fired, in t_j steps, it becomes a Beta distribution with the mean

    (belief pi + t_j f_j) / (belief + t_j)    (1)
    pi = sum_i t_i f_i / sum_i t_i, i over the living units    (2)

and score_j is this mean over pi: a unit that was just regrown scores 1. Steps are forgotten as ``memory``
says, in f_j and in t_j. The prior is learned from the layer, as in empirical Bayes (Gelman et al., 2013,
Bayesian Data Analysis, section 5.1); the author of stamina asks for a probability of firing that is given
beforehand, which is the knob ``firing_prior`` of `hebbevo.rules.units.stamina`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, mean_of_living, unit_knobs
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

_KNOBS = (
    Knob(
        "belief", float, 10.0, "steps of evidence that the prior, the layer's mean firing rate, is worth",
        low=0.0, sensible=(0.1, 100.0), log=True,
    ),
)  # fmt: skip


class Frequency(UnitRule):
    """The posterior mean of a unit's firing rate, over the rate of its layer."""

    name = "frequency"
    needs: ClassVar[Needs] = {Need.FIRING_RATE: ()}
    knobs = unit_knobs(*_KNOBS, scheduled=schedule.TARGET, needs=needs)

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 1 over equation 2, (..., n), 0 for pruned units."""
        alive, fired, seen = layer.alive, s.sum_firing, s.seen
        prior = mean_of_living(fired, alive) / mean_of_living(seen, alive).clamp(min=1e-12)  # eq. 2
        posterior = (k.belief * prior + fired) / (k.belief + seen).clamp(min=1e-12)  # eq. 1
        score: Tensor = posterior * alive / prior.clamp(min=1e-12)
        return score
