"""The alignment matrix: a backward pass through weights of its own, and what moves them.

Kunin et al., 2020, arXiv:2003.01513, describe rules that align backward weights B with the weights W of a
layer as sums of a few losses, the primitives. In the forward pass y = x W' + b. In the backward pass, with g
the gradient of y,

    dx = g B,  dW = g' x,  db = sum g    (1)

Each primitive is a loss on B alone, here with the move -dR/dB that it makes. <.> is the mean over the rows of
a minibatch, and over the positions of a convolution; z = x W' is y without the bias.

    alignment_decay     R = |B|^2                  move -2 B               (2)
    alignment_self      R = -sum W B               move W                  (3)
    alignment_amp       R = -<z . x B'>            move <z' x>             (4)
    alignment_null      R = <|z B|^2>              move -2 <z' z> B        (5)
    alignment_sparse    R = <|x B'|^2>             move -2 B <x' x>        (6)

For a convolution, products with x are its sums over positions, and z B is the transposed convolution. After
each forward pass B makes a step against the gradient of the sum R of all primitives, weighed by their
coefficients:

    B <- B - alignment_rate f dR/dB,  f = alignment_steps / steps of the training, or 1    (7)

The step is the rule's own, in the forward pass. An optimiser like Adam divides by the size of a gradient, so
only ratios of coefficients would matter to it. With ``tie``, B is a parameter of the optimiser too, with the
gradient of W (Kolen & Pollack, 1994). What decays B in equation (2) then decays W alike, so that W - B
shrinks by the factor 1 - 2 alignment_rate f alignment_decay at each step, besides the optimiser's own decay.

With ``alignment_noise``, x in equations 4 to 6 is normal noise of this standard deviation in place of the
inputs; with ``alignment_center``, x less its mean over the rows. With ``match_norm``, the backward pass uses
B at the norm of W. Steps are stable only while

    2 alignment_rate f (decay + sparse lambda(<x' x>) + null lambda(<z' z>)) < 2    (8)

with lambda the largest eigenvalue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.credit.rule import CreditLayer, CreditRule, Updates
from hebbevo.rules.rule import Asked, Need, Needs
from hebbevo.space.knobs import Knob, Scalar, Value, table

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED_STEPS = 450_000
"""Steps of the published trainings: 90 epochs of ImageNet in minibatches of 256."""
FEEDBACK_SCALE = Knob(
    "feedback_scale", float, 1.0, "size of backward weights when they are drawn, in units of Glorot's",
    low=0.0, sensible=(0.1, 10.0), log=True,
)  # fmt: skip
_NOISE_STREAM = 0


def alignment_knobs(**defaults: Scalar) -> dict[str, Knob]:
    """The knobs of the matrix.

    Args:
        defaults: values of knobs that are not 0, by name.

    >>> alignment_knobs(alignment_amp=2e-3)["alignment_amp"].default
    0.002
    """

    def coefficient(name: str, meaning: str) -> Knob:
        value = float(defaults.get(name, 0.0))
        return Knob(name, float, value, meaning, low=0.0, sensible=(1e-4, 1.0), log=True)

    def choice(name: str, meaning: str) -> Knob:
        return Knob(name, bool, bool(defaults.get(name, False)), meaning, choices=(False, True))

    return table(
        coefficient("alignment_decay", "coefficient by which backward weights decay"),
        coefficient("alignment_self", "coefficient by which backward weights move to the weights"),
        coefficient("alignment_amp", "coefficient of a Hebbian move, input x output"),
        coefficient("alignment_null", "coefficient against what outputs send back"),
        coefficient("alignment_sparse", "coefficient against what inputs send through backward weights"),
        choice("tie", "backward weights have the gradients of the weights, and decay with them"),
        Knob(
            "alignment_noise", float, float(defaults.get("alignment_noise", 0.0)),
            "standard deviation of noise that aligns in place of the inputs; 0: the inputs do",
            low=0.0, sensible=(0.1, 3.0), log=True,
        ),
        choice("alignment_center", "inputs align less their mean over a minibatch"),
        choice("match_norm", "the backward pass uses backward weights at the norm of the weights"),
        Knob(
            "alignment_rate", float, 0.01, "step size of the alignment, times all coefficients",
            low=0.0, sensible=(1e-3, 1.0), log=True,
        ),
        Knob(
            "alignment_steps", int, int(defaults.get("alignment_steps", 0)),
            "steps of a training for which coefficients are meant; 0: they are for one step of any training",
            low=0, sensible=(1, PUBLISHED_STEPS), log=True,
        ),
        FEEDBACK_SCALE,
    )  # fmt: skip


class Alignment(CreditRule):
    """A rule of the matrix; a subclass has a name and the defaults of its row."""

    needs: ClassVar[Needs] = {Need.LENGTH: (Asked("alignment_steps"),)}
    has_feedback = True

    def structure(self, value: Callable[[str], Any]) -> Mapping[str, Value]:
        """What no knob asks for is not computed."""
        by_activity = any(map(value, ("alignment_amp", "alignment_null", "alignment_sparse")))
        has_noise = value("alignment_noise") > 0
        return {"by_activity": by_activity, "has_noise": has_noise, "is_tied": bool(value("tie"))}

    def forward(self, k: Any, s: Any, layer: CreditLayer, x: Tensor) -> Tensor:
        """The plain outputs; the backward pass is that of equation (1)."""
        tied = layer.connected(s.feedback) if k.is_tied else None
        return layer.through(x, self.backward_weight(k, s, layer), tied)

    def backward_weight(self, k: Any, s: Any, layer: CreditLayer) -> Tensor:
        """B where connections are in, at the norm of W if asked."""
        feedback = layer.connected(s.feedback.detach())
        smallest = 1e-12
        ratio = layer.weight.detach().norm() / feedback.norm().clamp(min=smallest)
        matched: Tensor = feedback * ratio
        return matched.where(k.match_norm, feedback)

    def update(self, k: Any, s: Any, layer: CreditLayer, x: Tensor, y: Tensor) -> Updates:
        """The step of equation (7), and with ``tie`` the decay of W."""
        weight, feedback = layer.weight.detach(), s.feedback.detach()
        length = k.alignment_steps / layer.total.clamp(min=1)
        rate = k.alignment_rate * length.where(k.alignment_steps > 0, length * 0 + 1)
        move = k.alignment_self * weight - 2 * k.alignment_decay * feedback
        if k.by_activity:
            move = move + self._by_activity(k, layer, x, weight, feedback)
        drawn = feedback != 0  # entries of pruned units are 0, and stay so until they are drawn anew
        move = move.where(drawn | ~drawn.any(), move * 0)
        shrunk = -2 * rate * k.alignment_decay * weight if k.is_tied else None
        return Updates(shrunk, feedback=rate * move)

    def _by_activity(self, k: Any, layer: CreditLayer, x: Tensor, weight: Tensor, feedback: Tensor) -> Tensor:
        """The moves of equations 4 to 6."""
        if k.has_noise:
            noise = (2 * layer.draw(tuple(x.shape), _NOISE_STREAM).to(x.dtype) - 1).erfinv() * 2**0.5
            x = (k.alignment_noise * noise).where(k.alignment_noise > 0, x)
        x = (x - x.mean(0, keepdim=True)).where(k.alignment_center, x)
        connected = layer.connected(feedback)
        z, through = layer.plain(x, weight, None), layer.plain(x, connected, None)
        back = layer.transposed(z, connected, x)
        return (
            k.alignment_amp * layer.coactivation(x, z)
            - 2 * k.alignment_null * layer.coactivation(back, z)
            - 2 * k.alignment_sparse * layer.coactivation(x, through)
        )
