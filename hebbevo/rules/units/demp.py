"""DemP: dead units are pruned, and a regulariser and noise, which rise and fall, let more units die.

Dufort-Labbé et al., 2024, arXiv:2403.07688 (Demon Pruning), with the details of the published code,
SimonDufLab/Maxwell_demon (``controlling_overfitting.py`` and ``utils.py``). A unit is dead when it has not
fired in ``window`` forward steps. With r_j the running firing rate of unit j, and h_j the forward steps since
it last fired:

    score_j = r_j [h_j < window]    (1)

The optimiser's step t, counted from 0, is followed by a change of each weight w to a living unit:

    w <- sign(w) max(|w| - decay c(t), 0)            regulariser "l1"    (2)
         (1 - decay c(t)) w                                      "l2"

    w <- w + noise c(t) [unit j fires at step t] z,  z ~ N(0, 1)         (3)

The noise is asymmetric: a unit that fires wanders, and one that is silent stays where it is. As in the code,
it is not scaled by the learning rate. The regulariser acts on the scale of a batch norm between the units and
the layer that feeds them, as in the paper; where there is none, on the incoming weights and biases. In the
code it is a part of the loss, here it is decoupled from the optimiser. The noise of the code also acts on the
output layer, here on what feeds units only.

c(t) is one cycle of cosine arcs, with the constants of the code: from 1/25 to 1 in the first part ``rise``
(0.3) of the T steps before the settling phase, then down to 4e-6. After step T it is zero. On an arc from a
to b of which the share u is over:

    c(t) = b + (a - b) (1 + cos(pi u)) / 2    (4)
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

L1, L2 = REGULARISERS = ("l1", "l2")
START, END = 1 / 25, 1 / 25e4

_KNOBS = (
    Knob(
        "window", int, 50, "forward steps without firing after which a unit is dead",
        low=1, sensible=(10, 200), log=True,
    ),
    Knob(
        "decay", float, 1e-3, "peak of what the regulariser takes of weights to living units in a step",
        low=0.0, high=1.0, sensible=(1e-4, 5e-2), log=True,
    ),
    Knob(
        "noise", float, 1e-3, "peak of the standard deviation of noise on weights to units that fire",
        low=0.0, sensible=(1e-4, 5e-2), log=True,
    ),
    Knob(
        "regulariser", str, L1, "decay is an amount of a weight's size (l1), or a share of it (l2)",
        choices=REGULARISERS,
    ),
    Knob(
        "rise", float, 0.3, "part of the training, up to the settling phase, in which decay and noise rise",
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
        """Equations 2 and 3."""
        cycle = one_cycle(k, layer.step - 1, last_event_step(k, layer.total))
        is_l1 = k.regulariser == REGULARISERS.index(L1)
        decay = k.decay * cycle  # eq. 2
        noise = k.noise * cycle * (s.silent == 0)  # eq. 3
        return Perturbation(decay * ~is_l1, decay * is_l1, noise)


def one_cycle(k: Any, step: Tensor, total: Tensor) -> Tensor:
    """Equation 4 at ``step``, counted from 0, of ``total`` steps; of the shape of ``step``."""
    peak = (k.rise.double() * total).round()  # in half precision, steps would not be exact
    rises = step < peak
    done = (step / peak.clamp(min=1)).where(rises, (step - peak) / (total - peak).clamp(min=1))
    weight = (1 + (math.pi * done).cos()) / 2
    cycle: Tensor = (1 + (START - 1) * weight).where(rises, END + (1 - END) * weight)  # eq. 4
    return (cycle * (step < total)).to(k.rise.dtype)
