"""HebbMask: connections whose two ends disagree leave, and may enter again.

From ShayanPersonal/hebbian-masks (https://github.com/ShayanPersonal/hebbian-masks), which has no paper; the
equations are numbered here. The connection from input i to output j has a weight W_ji, trained as ever, and a
permanence P_ji, which is moved at every ``update_interval``-th step:

    P_ji <- clip((1 - delta) P_ji + eta H_ji, -b, b)                        (1)
    H_ji = <y_j x_i> W_ji, or <sign(y_j) sign(x_i)>                         (2)
    in_ji <- (in_ji and P_ji > threshold) or P_ji > threshold + hysteresis  (3)

<.> is the mean over the batch, positions, time steps and calls, and y has its bias. The first form of H is
that of the original's code ("weighted"), the second that of its description ("agreement"). delta is
``permanence_decay``, eta ``permanence_rate``, b ``permanence_bound``, and threshold ``prune_threshold``.

Changes against the original:

- H is the mean over a batch in place of its sum, and evaluation changes nothing;
- convolutions are masked too;
- the threshold at which a connection enters again may be higher than that at which it leaves;
- a connection that enters again has its old weight, whatever the optimiser has done to it meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.connections.rule import ByThreshold, ConnectionLayer
from hebbevo.rules.rule import Buffer, Need, Needs
from hebbevo.rules.settling import NEEDS, SETTLE, is_settling
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTED, AGREEMENT = UPDATE_FORMS = ("weighted", "agreement")


class HebbMask(ByThreshold):
    """Connections are in while their permanence is above a threshold."""

    name = "hebb_mask"
    keeps_weights = True
    needs: ClassVar[Needs] = {Need.COACTIVATION: (), **NEEDS}
    buffers: ClassVar = {"permanence": Buffer("initial_permanence")}
    knobs = table(
        Knob(
            "update_form", str, WEIGHTED,
            "what moves a permanence: output x input x weight, or sign of the output x sign of the input",
            choices=UPDATE_FORMS,
        ),
        Knob(
            "permanence_rate", float, 0.1, "how far an update moves a permanence",
            low=0.0, sensible=(1e-5, 1.0), log=True,
        ),
        Knob(
            "permanence_decay", float, 0.0, "fraction of its permanence that a connection loses at an update",
            low=0.0, high=1.0, sensible=(0.0, 0.01),
        ),
        Knob(
            "permanence_bound", float, 1.0, "permanences stay between this and its negative",
            low=0.0, sensible=(0.5, 2.0),
        ),
        Knob("initial_permanence", float, 1.0, "permanence at the start", sensible=(0.1, 1.0)),
        Knob(
            "prune_threshold", float, 0.0, "a connection is pruned when its permanence is not above this",
            sensible=(-0.5, 0.5),
        ),
        Knob(
            "hysteresis", float, 0.0,
            "a connection enters again when its permanence is above the prune threshold by more than this",
            low=0.0, sensible=(0.0, 0.5),
        ),
        Knob(
            "update_interval", int, 1, "forward steps between updates of the permanences",
            low=1, sensible=(1, 1000), log=True,
        ),
        Knob(
            "warmup", int, 0, "forward steps before the first connection is pruned",
            low=0, sensible=(0, 1000),
        ),
        SETTLE,
    )  # fmt: skip

    def signals(self, k: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and outputs, or their signs (eq. 2)."""
        by_sign = self._by_sign(k).to(x.dtype)
        return x.lerp(x.sign(), by_sign), y.lerp(y.sign(), by_sign)

    def observe(self, k: Any, s: Any, layer: ConnectionLayer) -> None:
        """Move the permanences where this is a step of an update."""
        updates = self._updates(k, layer.step, layer.total)
        by_sign = self._by_sign(k).to(layer.weight.dtype)
        H = layer.coactivation * layer.weight.lerp(layer.weight.new_ones(()), by_sign)  # eq. 2
        # NaN moves nothing: a network that has diverged would look sound with nothing but its biases left
        moves = H.mul_(k.permanence_rate * updates).nan_to_num_(0, 0, 0)
        P = s.permanence.mul_(1 - k.permanence_decay * updates).add_(moves)  # eq. 1
        s.permanence.copy_(P.clamp(-k.permanence_bound, k.permanence_bound))

    def observes(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """At an update, and at the first step: an initial permanence may be beyond the bound."""
        return self._updates(k, step, total) | (step == 1)

    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """At an update, once the warm-up is over."""
        return self._updates(k, step, total) & (step >= k.warmup)

    def stays(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Those above the threshold of pruning (eq. 3)."""
        above: Tensor = s.permanence > k.prune_threshold
        return above

    def returns(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Those above this threshold by more than the hysteresis (eq. 3)."""
        above: Tensor = s.permanence > k.prune_threshold + k.hysteresis
        return above

    def _updates(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Whether permanences move at a step, bool."""
        return (step > 0) & (step % k.update_interval == 0) & ~is_settling(k, step, total)

    def _by_sign(self, k: Any) -> Tensor:
        """Whether H is the agreement of signs, bool."""
        by_sign: Tensor = k.update_form == UPDATE_FORMS.index(AGREEMENT)
        return by_sign
