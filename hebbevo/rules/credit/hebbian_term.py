"""A Hebbian term in the loss: a layer follows the task's gradient and a Hebbian rule at once.

The loss of a training becomes, with D_j of equation 6 of `hebbevo.rules.credit.hebbian` as a constant,

    task's loss - lambda sum_ji D_ji w_ji

So the gradient of the weights is that of the task less lambda D, exactly, and an optimiser steps along both.
lambda is ``hebbian_weight``. The bias is the task's alone, and thresholds are apart from it. Weights have no
norm here: a ``decay_form`` keeps them small, or the optimiser's weight decay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.credit.hebbian import ACTIVITY_KNOBS, ACTIVITY_STRUCTURE, Activity, Hebbian
from hebbevo.rules.credit.rule import CreditLayer, CreditRule, Start
from hebbevo.rules.rule import Buffer, Needs
from hebbevo.rules.settling import NEEDS, SETTLE, is_settling
from hebbevo.space.knobs import Knob, Value, table

if TYPE_CHECKING:
    from torch import Tensor


class HebbianTerm(CreditRule):
    """A local loss whose gradient is a Hebbian rule."""

    name = "hebbian_term"
    local = True
    knobs = table(
        Knob(
            "hebbian_weight", float, 0.01, "weight of the Hebbian term beside the loss of the task",
            low=0.0, sensible=(1e-5, 1.0), log=True,
        ),
        *ACTIVITY_KNOBS,
        SETTLE,
    )  # fmt: skip
    needs: ClassVar[Needs] = NEEDS
    unit_buffers: ClassVar = {"theta": Buffer()}

    def structure(self, value: Callable[[str], Any]) -> Mapping[str, Value]:
        """Knobs that decide what is computed."""
        return {name: value(name) for name in ACTIVITY_STRUCTURE}

    def start(self, k: Any, s: Any, layer: CreditLayer) -> Start:
        """Weights stay as they are; thresholds begin at a fixed level, or at 0."""
        s.theta.add_(Hebbian.fixed_threshold(k))
        return Start()

    def local_loss(self, k: Any, s: Any, layer: CreditLayer, x: Tensor, y: Tensor) -> Tensor:
        """The term above; moves the thresholds."""
        weight = layer.weight.detach()
        x, u = x.detach().to(weight.dtype), y.detach().to(weight.dtype)
        if layer.bias is not None:
            u = u - layer.along_outputs(layer.bias.detach())
        activity = Activity(k, s, layer, weight, u)
        rests = is_settling(k, layer.step + 1, layer.total)
        change = activity.change(x).where(~rests, 0)
        s.theta.copy_(s.theta.where(rests, activity.next_threshold() * activity.living))
        loss: Tensor = -k.hebbian_weight * (change * layer.weight).sum()
        return loss
