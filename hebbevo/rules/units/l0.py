"""L0: gates that are trained, and close for good where the loss does not need a unit.

Louizos, Welling & Kingma, 2018, arXiv:1712.01312, sections 2.2 and 2.3. Each unit has a gate z_j in [0, 1],
drawn anew at each training step from a hard concrete distribution with the trained location log_alpha_j:

    v ~ uniform(0, 1)
    b = sigmoid((log v - log(1 - v) + log_alpha) / beta)    (1)
    z = min(1, max(0, b (zeta - gamma) + gamma))    (2)

The loss has the expected number of gates that are not 0, weighed by ``gate_penalty``:

    gate_penalty sum_j sigmoid(log_alpha_j - beta log(-gamma / zeta))    (3)

In evaluation, and as the score,

    z = min(1, max(0, sigmoid(log_alpha) (zeta - gamma) + gamma))    (4)

A unit whose gate is then closed, score 0, is pruned. The constants are those of the paper: beta = 2/3,
gamma = -0.1, zeta = 1.1. There a group of weights costs as many times the penalty as it has weights. Here a
unit costs it once, and a gene that is repeated gives each layer its own (``gate_penalty.1``). All rows of a
minibatch share their gates, as in the authors' code by default. In a search gates have no weight decay. That
code also keeps log_alpha from ln 0.01 to ln 100, and evaluates a running mean of the weights; here neither is
done.

The paper trains for 200 epochs. To open or close gates in a shorter training, log_alpha moves ``gate_rate``
times as fast as an optimiser like Adam moves weights:

    log_alpha = gate_start + gate_rate theta, theta trained from 0    (5)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, unit_knobs
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1

_KNOBS = (
    Knob(
        "gate_penalty", float, 1e-3, "what an open gate costs in the loss",
        low=0.0, sensible=(1e-5, 1e-1), log=True,
    ),
    Knob(
        "gate_start", float, 0.0, "log odds with which gates begin, log_alpha; the paper's 0 is a half",
        sensible=(-2.0, 4.0),
    ),
    Knob(
        "gate_rate", float, 10.0, "how many times as fast as weights gates are trained; 1 in the paper",
        low=0.0, sensible=(1.0, 100.0), log=True,
    ),
)  # fmt: skip


class L0(UnitRule):
    """The gate of a unit in evaluation, from 0 to 1."""

    name = "l0"
    knobs = unit_knobs(*_KNOBS, scheduled=schedule.THRESHOLD)
    parameters: ClassVar = {"theta": 0.0}
    penalties = ("gate_penalty",)

    def gate(self, k: Any, s: Any, drawn: Tensor | None) -> Tensor:
        """Equations 1 and 2 in training, 4 in evaluation, (n,)."""
        if drawn is None:
            return _stretched(_log_alpha(k, s).sigmoid())  # eq. 4
        return _stretched(((drawn.log() - (-drawn).log1p() + _log_alpha(k, s)) / BETA).sigmoid())  # eq. 1, 2

    def penalty(self, k: Any, s: Any, outputs: Tensor, alive: Tensor) -> Tensor:
        """Equation 3, of living units, a scalar."""
        is_open = (_log_alpha(k, s) - BETA * math.log(-GAMMA / ZETA)).sigmoid()
        weighted: Tensor = k.gate_penalty * (is_open * alive).sum()
        return weighted

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 4, (..., n)."""
        return _stretched(_log_alpha(k, s).sigmoid())


def _log_alpha(k: Any, s: Any) -> Tensor:
    """Equation 5, (..., n)."""
    log_alpha: Tensor = k.gate_start + k.gate_rate * s.theta
    return log_alpha


def _stretched(gate: Tensor) -> Tensor:
    """Stretch (0, 1) to (gamma, zeta), and cut it to [0, 1]: equation 2."""
    cut: Tensor = (gate * (ZETA - GAMMA) + GAMMA).clamp(0, 1)
    return cut
