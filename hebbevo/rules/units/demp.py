"""DemP: dead units are pruned, and noise and a regulariser that rises and falls let more units die.

Dufort-Labbé et al., 2024, arXiv:2403.07688, and the published code, SimonDufLab/Maxwell_demon
(``controlling_overfitting.py`` and ``utils.py``). A unit is dead when it has not fired in ``window`` forward
steps. With r_j the running firing rate of unit j, and h_j the forward steps since it last fired:

    score_j = r_j [h_j < window]    (1)

After step t of the optimiser, counted from 0, each weight w to a living unit changes by

    w <- (1 - decay c(t)) w + noise c(t) [unit j fires at step t] z,  z ~ N(0, 1)    (2)

The noise is asymmetric: a unit that fires wanders about, and one that is silent stays where it is. In the
code, the noise goes to weights whose gradient is not zero, after the optimiser, and is not scaled by the
learning rate. With ``regulariser: l1`` a weight comes closer to zero by decay c(t), whatever its size.

The one cycle of the code is that of Smith & Topin, 2018, arXiv:1708.07120, in cosine arcs: c rises from 1/25
to 1 in the first part ``rise`` of the T steps before the settling phase, and falls to 4e-6:

    c(t) = b + (a - b) (1 + cos(pi u)) / 2, from a to b, u the share of the arc that is over    (3)

After step T, c is zero. The regulariser acts on the scale of a batch norm between the units and the layer
that feeds them, as in the paper. Where there is none, it acts on the incoming weights and biases. In the code
it is a part of the loss; here it is decoupled from the optimiser.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Buffer, Need, Needs
from hebbevo.rules.settling import last_event_step
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import Perturbation, UnitLayer, UnitRule, unit_knobs
from hebbevo.rules.units.statistics import Minibatch, Statistic
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

L2, L1 = REGULARISERS = ("l2", "l1")
START, END = 1 / 25, 1 / 25e4

_KNOBS = (
    Knob(
        "window", int, 50, "forward steps without firing after which a unit is dead",
        low=1, sensible=(10, 200), log=True,
    ),
    Knob(
        "decay", float, 1e-3, "what the regulariser takes of the weights to a unit in a step, at its peak",
        low=0.0, high=1.0, sensible=(1e-5, 1e-2), log=True,
    ),
    Knob(
        "noise", float, 1e-3, "standard deviation of the noise on the weights to a unit in a step, at its peak",
        low=0.0, sensible=(1e-5, 1e-2), log=True,
    ),
    Knob(
        "regulariser", str, L2, "decay takes a share of each weight, or an amount of its size",
        choices=REGULARISERS,
    ),
    Knob(
        "rise", float, 0.3, "part of the training before the settling phase in which noise and decay rise",
        low=0.0, high=1.0, sensible=(0.1, 0.9),
    ),
)  # fmt: skip


class Silence(Statistic):
    """The forward steps since a unit last fired: h of equation 1."""

    buffers: ClassVar = {"silent": Buffer()}

    def add(self, k: Any, s: Any, c: Any, batch: Minibatch) -> None:
        """See `Statistic.add`."""
        s.silent.add_(1).mul_(batch.firing_rate == 0)


class DemP(UnitRule):
    """The running firing rate of a unit, zero if it is dead; what fires is disturbed so that it may die."""

    name = "demp"
    needs: ClassVar[Needs] = {Need.FIRING_RATE: (), Need.INCOMING: (), Need.LENGTH: ()}
    knobs = unit_knobs(*_KNOBS, scheduled=schedule.THRESHOLD, needs=needs)
    statistics = (Silence(),)
    perturbs = True

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 1, (..., n)."""
        return layer.firing_rate * (s.silent < k.window)  # eq. 1

    def perturbation(self, k: Any, s: Any, layer: UnitLayer) -> Perturbation:
        """Equation 2."""
        cycle = one_cycle(k, layer.step - 1, last_event_step(k, layer.total))
        decay, is_l1 = k.decay * cycle, k.regulariser == REGULARISERS.index(L1)
        return Perturbation(decay * ~is_l1, decay * is_l1, k.noise * cycle * (s.silent == 0))  # eq. 2


def one_cycle(k: Any, step: Tensor, total: Tensor) -> Tensor:
    """c of equation 3 at ``step``, counted from 0, of ``total`` steps; of the shape of ``step``."""
    peak = (k.rise * total).floor()
    rises = step < peak
    done = (step / peak.clamp(min=1)).where(rises, (step - peak) / (total - peak).clamp(min=1))
    weight = (1 + (math.pi * done).cos()) / 2
    cycle: Tensor = (1 + (START - 1) * weight).where(rises, END + (1 - END) * weight)  # eq. 3
    return cycle * (step < total)
