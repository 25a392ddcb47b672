"""ReDo: units that are dormant are recycled.

Sokar et al., 2023, arXiv:2302.12902, definition 3.1 and algorithm 1. With h_j the output of unit j:

    score_j = E|h_j| / mean_i E|h_i|, i over the living units    (1)

Every ``prune_period`` steps (F, 1000 in the paper) a unit whose score is at most ``dormancy`` (tau, 0.025) is
drawn anew: fresh incoming weights, a bias and outgoing weights of zero, optimiser moments of zero. The
optimiser's count of steps starts anew too, which is "key to the algorithm's performance" by the comments of
https://github.com/timoklein/redo (``src/redo.py``). That code resets the count of a whole weight matrix, as
`hebbevo.nn.attach` does with an optimiser of PyTorch. Searches count the steps of each weight
(`hebbevo.training.optimizers.OwnStepsAdamW`).

As for every rule, at most the share ``max_deaths`` of a layer is recycled at an event, and no unit within
``grace`` steps of its return; the paper has neither. The mean is a running one, there that of a minibatch.
Under the schedule *target* the units with the lowest scores are pruned for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.rule import Need, Needs
from hebbevo.rules.units import schedule
from hebbevo.rules.units.rule import UnitLayer, UnitRule, over_mean, unit_knobs
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

_THRESHOLD = Knob(
    "dormancy", float, 0.025,
    "below a threshold: a unit is recycled when its mean output over that of its layer is not above this",
    low=0.0, sensible=(0.0, 0.2),
)  # fmt: skip


class ReDo(UnitRule):
    """The mean output of a unit over that of its layer; what is dormant is recycled."""

    name = "redo"
    threshold = _THRESHOLD.name
    needs: ClassVar[Needs] = {Need.MEAN_SIZE: (), Need.INCOMING: (), Need.EXCLUSIVE: (), Need.OWN_STEPS: ()}
    knobs = unit_knobs(scheduled=schedule.THRESHOLD, threshold=_THRESHOLD, needs=needs)
    recycles = True

    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Equation 1, (..., n), 0 for pruned units."""
        return over_mean(layer.mean_size, layer.alive)  # eq. 1
