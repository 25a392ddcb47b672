"""HebbMask: connections whose ends disagree leave and may return (ShayanPersonal/hebbian-masks).

Every connection has a weight, trained as ever, and a permanence, moved by a Hebbian rule; it is in while its
permanence is above a threshold. Changes against the original: the mean over a batch in place of its sum,
evaluation changes nothing, convolutions are masked too, the threshold of the return may be another, and a
returning connection has its old weight whatever the optimiser has done meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.connections.rule import ByThreshold, Link
from hebbevo.rules.rule import Asked, Buffer, Need, Needs
from hebbevo.rules.settling import settles
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTED, AGREEMENT = UPDATE_FORMS = ("weighted", "agreement")


class HebbMask(ByThreshold):
    """The permanence of the connection from input i to output j moves, at every ``update_interval``-th step.

    P_ji <- clip((1 - permanence_decay) P_ji + permanence_rate H_ji, -permanence_bound, permanence_bound),
    where H_ji is the mean over the batch (and over positions, time steps and calls) of y_j x_i W_ji, bias
    included in y, or of sign(y_j) sign(x_i).
    """

    name = "hebb_mask"
    keeps_weights = True
    needs: ClassVar[Needs] = {Need.COACTIVATION: (), Need.LENGTH: (Asked("settle"),)}
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
            "prune_threshold", float, 0.0, "a connection goes out when its permanence is not above this",
            sensible=(-0.5, 0.5),
        ),
        Knob(
            "hysteresis", float, 0.0,
            "a connection returns when its permanence is above the prune threshold by more than this",
            low=0.0, sensible=(0.0, 0.5),
        ),
        Knob(
            "update_interval", int, 1, "forward steps between updates of the permanences",
            low=1, sensible=(1, 1000), log=True,
        ),
        Knob(
            "warmup", int, 0, "forward steps before the first connection goes out",
            low=0, sensible=(0, 1000),
        ),
        Knob(
            "settle", float, 0.0,
            "last fraction of training in which permanences rest, the learning rate falling to zero",
            low=0.0, high=0.95, sensible=(0.0, 0.5),
        ),
    )  # fmt: skip

    def signals(self, k: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and outputs, or their signs."""
        by_sign = self._by_sign(k).to(x.dtype)
        return x.lerp(x.sign(), by_sign), y.lerp(y.sign(), by_sign)

    def observe(self, k: Any, s: Any, link: Link) -> None:
        """Move the permanences where this is a step of an update."""
        updates = self._updates(k, link.step, link.total)
        H = link.coactivation * link.weight.new_ones(()).where(self._by_sign(k), link.weight)
        # with nothing but its biases left, a network that has diverged would look sound: NaN moves nothing
        moves = (k.permanence_rate * updates * H).nan_to_num(0, 0, 0)
        P = s.permanence * (1 - k.permanence_decay * updates) + moves
        s.permanence.copy_(P.clamp(-k.permanence_bound, k.permanence_bound))

    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """At an update, once warmed up."""
        return self._updates(k, step, total) & (step >= k.warmup)

    def stays(self, k: Any, s: Any, link: Link) -> Tensor:
        """Above the prune threshold."""
        above: Tensor = s.permanence > k.prune_threshold
        return above

    def returns(self, k: Any, s: Any, link: Link) -> Tensor:
        """Above it by more than the hysteresis."""
        above: Tensor = s.permanence > k.prune_threshold + k.hysteresis
        return above

    def _updates(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        return (step > 0) & (step % k.update_interval == 0) & ~settles(k, step, total)

    def _by_sign(self, k: Any) -> Tensor:
        by_sign: Tensor = k.update_form == UPDATE_FORMS.index(AGREEMENT)
        return by_sign
