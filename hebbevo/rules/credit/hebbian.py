"""Hebbian learning: a layer learns from its own inputs and outputs, by one family of rules.

A unit j with the weights w_j reads an input or a patch x and has u_j = w_j x. Its plastic output y_j follows
from u and a threshold theta_j, alone or in competition with the other units at the same place:

    r_j = u_j - theta_j    (1)

``competition`` decides how y follows from r:

- none: y_j = f(r_j).    (2)
- winners: y_j = 1 if r_j > 0 and it is among the K largest, else 0.    (3)
- softmax: y_j = s_j, with s_j = exp(f(r_j) / T) / sum_i exp(f(r_i) / T).    (4)
- softmax_signed: y_j = s_j for the largest r, else -a s_j.    (5)

f is ``nonlinearity``, with p = ``exponent``: linear r, rectifier max(0, r)^p, bcm u r, tanh(r), and
negative_tanh -tanh(r). K is ``winners``, T ``temperature``, a ``anti_hebbian``. Then, with <.> the mean over
rows and positions,

    D_j = <y_j x> - <d_j> w_j + k1 + k2 mean_i(w_ji)    (6)
    w_j <- w_j + rate |norm(w_j) - 1|^q D_j    (7)

With ``update_scale`` largest, D is first divided by its largest entry in the layer, in size. d is
``decay_form``: none 0, instar y, oja y^2, soft y u; rate is ``hebbian_rate``, q ``rate_power``. With
``centre`` the first term is the covariance <y_j x> - <y_j><x>. After a step weights stay between
-``weight_bound`` and this bound, connections that are out are zero, and with ``normalize`` weights have the
norm 1. Which connections are in is drawn once, each with the probability ``connectivity``.

Thresholds are ``threshold_form``: none 0, fixed ``threshold_level``; or they move, at ``threshold_rate`` mu,

    homeostatic      theta_j <- theta_j + mu (<y_j> - K / n)    (8)
    bcm              theta_j <- theta_j + min(mu, 1) (<u_j^2> - theta_j)    (9)

with n the number of living units. A unit is living while one of its weights is not zero; others neither
learn nor compete. Updates are computed from the weights and thresholds before them.

The layer hands on u_j, and where it has a bias, r_j: the bias is minus the threshold. So in evaluation it is
a plain layer. `hebbevo.nn.Triangle` or `hebbevo.nn.KWinners` may follow.

These are settings of the knobs (`docs/reference/hebbian_layers.md`): plain Hebb, instar, Oja (1982,
doi:10.1007/BF00275687), Miconi's network (2021, arXiv:2107.01729), BCM (Bienenstock, Cooper & Munro, 1982;
with <u^2>, as Intrator & Cooper, 1992, have it), nonlinear Hebbian learning (Brito & Gerstner, 2016,
doi:10.1371/journal.pcbi.1005070), and Linsker's covariance rule (1986, doi:10.1073/pnas.83.19.7508).

Changes against the originals: updates are means over rows and positions in place of sums, so that a rate
holds for every size of minibatch and image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hebbevo.rules.credit.rule import CreditLayer, CreditRule, Start, Updates
from hebbevo.rules.rule import Asked, Buffer, Need, Needs
from hebbevo.rules.settling import NEEDS, SETTLE, is_settling
from hebbevo.space.knobs import Knob, Value, table

if TYPE_CHECKING:
    from torch import Tensor

COMPETITIONS = NONE, WINNERS, SOFTMAX, SOFTMAX_SIGNED = "none", "winners", "softmax", "softmax_signed"
NONLINEARITIES = LINEAR, RECTIFIER, BCM, TANH, NEGATIVE_TANH = (
    "linear", "rectifier", "bcm", "tanh", "negative_tanh",
)  # fmt: skip
THRESHOLDS = (NONE, FIXED, HOMEOSTATIC, BCM) = ("none", "fixed", "homeostatic", "bcm")
SCALES = MEAN, LARGEST = "mean", "largest"
DECAYS = (NONE, INSTAR, OJA, SOFT) = ("none", "instar", "oja", "soft")

_WEIGHT_STREAM, _CONNECTION_STREAM = 0, 1

ACTIVITY_KNOBS = (
    Knob(
        "competition", str, WINNERS,
        "which units learn at a place: all, the K largest, or by a softmax, under _signed losers negatively",
        choices=COMPETITIONS,
    ),
    Knob(
        "winners", int, 1, "units that win at a place, K; no more than the layer has",
        low=1, sensible=(1, 16), log=True,
    ),
    Knob(
        "temperature", float, 1.0, "temperature of the softmax; published rules give its inverse",
        low=1e-6, sensible=(0.02, 20.0), log=True,
    ),
    Knob(
        "anti_hebbian", float, 1.0, "size of the negative learning of losers under softmax_signed",
        low=0.0, sensible=(0.0, 1.0),
    ),
    Knob(
        "nonlinearity", str, LINEAR, "function of the output less its threshold, without winners",
        choices=NONLINEARITIES,
    ),
    Knob("exponent", float, 1.0, "exponent of the rectifier", low=0.0, sensible=(0.3, 3.0)),
    Knob("threshold_form", str, HOMEOSTATIC, "what the threshold of a unit follows", choices=THRESHOLDS),
    Knob(
        "threshold_level", float, 1.0,
        "the fixed threshold; in standard deviations, where inputs are white and weights have norm 1",
        sensible=(0.0, 3.0),
    ),
    Knob(
        "threshold_rate", float, 1.0, "how far a step moves a homeostatic threshold, or, up to 1, a bcm one",
        low=0.0, sensible=(1e-3, 30.0), log=True,
    ),
    Knob(
        "decay_form", str, INSTAR, "what weights decay by, times the weight: nothing, y, y^2 or y u",
        choices=DECAYS,
    ),
    Knob("centre", bool, False, "whether units learn from the covariance", choices=(False, True)),
    Knob("k1", float, 0.0, "constant growth of every weight (Linsker)", sensible=(-1.0, 1.0)),
    Knob("k2", float, 0.0, "growth of weights by the mean of their unit (Linsker)", sensible=(-3.0, 0.0)),
)  # fmt: skip
"""How outputs follow from inputs, and what is learnt from them: knobs of every rule of the family."""

LEARNING_KNOBS = (
    Knob(
        "hebbian_rate", float, 0.1, "step size of the Hebbian update, a mean over rows and positions",
        low=0.0, sensible=(1e-4, 10.0), log=True,
    ),
    Knob(
        "update_scale", str, MEAN,
        "the size of an update: the mean over rows and positions, or the largest entry in the layer is 1",
        choices=SCALES,
    ),
    Knob(
        "rate_power", float, 0.0, "power of |norm - 1| of a unit by which its rate is multiplied",
        low=0.0, sensible=(0.0, 1.0),
    ),
    Knob(
        "normalize", bool, True, "whether the weights of a unit have norm 1 after a step",
        choices=(False, True),
    ),
    Knob("weight_bound", float, 0.0, "weights stay between this and its negative; 0: no bound", low=0.0),
    Knob(
        "connectivity", float, 1.0, "share of connections that are there, drawn once",
        low=0.0, high=1.0, sensible=(3e-3, 1.0), log=True,
    ),
    Knob(
        "initial_norm", float, 1.0,
        "norm with which normal random weights of a unit begin; 0: the layer keeps its weights",
        low=0.0, sensible=(0.3, 35.0), log=True,
    ),
    Knob(
        "threshold_warmup", int, 0, "forward steps in which only thresholds learn",
        low=0, sensible=(0, 200),
    ),
    Knob(
        "learns_from", float, 0.0, "fraction of the training before which the layer rests",
        low=0.0, high=1.0, sensible=(0.0, 1.0),
    ),
    Knob(
        "learns_until", float, 0.0, "fraction of the training after which the layer rests; 0: never",
        low=0.0, high=1.0, sensible=(0.0, 1.0),
    ),
    SETTLE,
)  # fmt: skip
"""How weights follow what is learnt, and when."""

ACTIVITY_STRUCTURE = (
    "competition", "winners", "nonlinearity", "threshold_form", "decay_form", "centre", "k1", "k2",
)  # fmt: skip
"""Knobs that decide what is computed."""


class Hebbian(CreditRule):
    """A Hebbian update in place of the optimiser's step."""

    name = "hebbian"
    updates = True
    knobs = table(*ACTIVITY_KNOBS, *LEARNING_KNOBS)
    needs: ClassVar[Needs] = {
        Need.LENGTH: (Asked("learns_from"), Asked("learns_until"), *NEEDS[Need.LENGTH]),
    }
    buffers: ClassVar = {"wired": Buffer(True)}
    unit_buffers: ClassVar = {"theta": Buffer()}
    at_start = frozenset({"connectivity", "initial_norm"})

    def structure(self, value: Callable[[str], Any]) -> Mapping[str, Value]:
        """Knobs that decide what is computed."""
        return {
            name: value(name) for name in (*ACTIVITY_STRUCTURE, "normalize", "weight_bound", "update_scale")
        }

    def start(self, k: Any, s: Any, layer: CreditLayer) -> Start:
        """Draw which connections are there, and weights; the bias is minus the threshold."""
        shape = tuple(layer.weight.shape)
        s.wired.copy_(layer.draw(shape, _CONNECTION_STREAM) < k.connectivity)
        weight = layer.weight
        if k.initial_norm > 0:
            normal = (2 * layer.draw(shape, _WEIGHT_STREAM) - 1).erfinv() * math.sqrt(2)
            weight = (normal * k.initial_norm / math.sqrt(weight[0].numel())).to(weight.dtype)
        weight = weight * s.wired
        if k.normalize:
            weight = _normalized(weight, layer)
        s.theta.copy_(s.theta + self.fixed_threshold(k))
        return Start(weight, None if layer.bias is None else -s.theta)

    def fresh_norm(self, k: Any) -> Tensor:
        """1 if weights are normalised, else about that of the start."""
        if k.normalize:
            return k.initial_norm * 0 + 1
        drawn = k.initial_norm * k.connectivity.sqrt()
        he = math.sqrt(2)
        norm: Tensor = drawn.where(k.initial_norm > 0, he)
        return norm

    def update(self, k: Any, s: Any, layer: CreditLayer, x: Tensor, y: Tensor) -> Updates:
        """Equations 1 to 9, after the forward pass that gave ``y``."""
        weight = layer.weight
        u = y if layer.bias is None else y + layer.along_outputs(s.theta)
        activity = Activity(k, s, layer, weight, u)
        living = activity.living
        moves, learns = self.moves(k, layer), self.learns(k, layer)
        if k.threshold_form in (NONE, FIXED):
            moves = moves | True  # units that are regrown while the layer rests have this threshold too
        moved = self.moved(k, s, layer, activity.change(x))
        change = (moved - weight).where(layer.along_weights(living & learns), 0)
        theta = s.theta.where(~moves, activity.next_threshold() * living)
        shift = None if layer.bias is None else (s.theta - theta) * living
        s.theta.copy_(theta)
        return Updates(change, shift)

    def moved(self, k: Any, s: Any, layer: CreditLayer, change: Tensor) -> Tensor:
        """The weights after a step: equation 7, bounds, connections and norms."""
        weight = layer.weight
        if k.update_scale == LARGEST:
            change = change / (change.abs().amax() + 1e-30)
        rate = k.hebbian_rate * (_norms(weight) - 1).abs() ** k.rate_power  # 0 ** 0 is 1
        moved = weight + layer.along_weights(rate) * change
        if k.weight_bound:
            moved = moved.clamp(-k.weight_bound, k.weight_bound)
        moved = layer.connected(moved * s.wired)
        return _normalized(moved, layer) if k.normalize else moved

    def moves(self, k: Any, layer: CreditLayer) -> Tensor:
        """Whether thresholds move at this step, () bool."""
        step, total = layer.step + 1, layer.total
        until = total * k.learns_until.where(k.learns_until > 0, 1.0)
        in_share: Tensor = (step > total * k.learns_from) & (step <= until)
        return ((total == 0) | in_share) & ~is_settling(k, step, total)

    def learns(self, k: Any, layer: CreditLayer) -> Tensor:
        """Whether weights move at this step, () bool."""
        begun = layer.total * k.learns_from + k.threshold_warmup
        learns: Tensor = self.moves(k, layer) & (layer.step + 1 > begun)
        return learns

    @staticmethod
    def fixed_threshold(k: Any) -> Any:
        """The threshold with which a unit begins."""
        return k.threshold_level if k.threshold_form == FIXED else 0.0


class Activity:
    """Outputs of a layer in one forward pass, and what its units learn from them.

    Args:
        k: knobs of the family.
        s: buffers: thresholds.
        layer: the layer.
        weight: its weights, without a graph.
        u: its outputs without thresholds, (rows, outputs, *positions).

    Attributes:
        living: which units live, (outputs,) bool.
    """

    def __init__(self, k: Any, s: Any, layer: CreditLayer, weight: Tensor, u: Tensor) -> None:
        self._k, self._s, self._layer, self._weight, self._u = k, s, layer, weight, u
        self.living: Tensor = weight.flatten(1).any(1)
        self._y = self._outputs()

    def change(self, x: Tensor) -> Tensor:
        """Equation 6, of the shape of the weights."""
        k, layer, weight = self._k, self._layer, self._weight
        change = layer.coactivation(x, self._y)
        if k.centre:
            inputs = layer.coactivation(x, self._y.new_ones(self._y.shape))
            change = change - layer.along_weights(layer.mean(self._y)) * inputs
        if (decay := self._decay()) is not None:
            change = change - layer.along_weights(layer.mean(decay)) * weight
        if k.k1 or k.k2:
            mean_weight = layer.along_weights(weight.flatten(1).mean(1))
            change = change + layer.along_weights(self.living) * (k.k1 + k.k2 * mean_weight)
        return change

    def next_threshold(self) -> Tensor:
        """Equations 8 and 9, (outputs,)."""
        k, theta, layer = self._k, self._s.theta, self._layer
        if k.threshold_form == HOMEOSTATIC:
            goal = k.winners / self.living.sum().clamp(min=1)
            return theta + k.threshold_rate * (layer.mean(self._y) - goal)
        if k.threshold_form == BCM:
            return theta + k.threshold_rate.clamp(max=1.0) * (layer.mean(self._u.square()) - theta)
        return theta * 0 + Hebbian.fixed_threshold(k)

    def _outputs(self) -> Tensor:
        """Equations 1 to 5."""
        k, u, layer, dim = self._k, self._u, self._layer, self._layer.dim
        theta = k.threshold_level if k.threshold_form == FIXED else layer.along_outputs(self._s.theta)
        r = u - theta
        living = layer.along_outputs(self.living)
        if k.competition == NONE:
            return self._nonlinear(r) * living
        if k.competition == WINNERS:
            number = min(k.winners, u.shape[dim])
            last = (
                r.amax(dim, keepdim=True) if number == 1 else r.topk(number, dim)[0].amin(dim, keepdim=True)
            )
            return ((r >= last) & (r > 0) & living).to(u.dtype)  # with ties there are more winners
        lowest = -3e38  # below all numbers that occur; -inf would give NaN where no unit lives
        share = (self._nonlinear(r) / k.temperature).where(living, lowest).softmax(dim) * living
        if k.competition == SOFTMAX:
            return share
        best = r.where(living, lowest).argmax(dim, keepdim=True)
        is_best = (share * 0).scatter(dim, best, 1)
        return share * (is_best * (1 + k.anti_hebbian) - k.anti_hebbian)

    def _nonlinear(self, r: Tensor) -> Tensor:
        """The function f of equations 2 and 4."""
        k = self._k
        if k.nonlinearity == RECTIFIER:
            return r.clamp(min=0) ** k.exponent * (r > 0)
        if k.nonlinearity == BCM:
            return self._u * r
        if k.nonlinearity in (TANH, NEGATIVE_TANH):
            return r.tanh() if k.nonlinearity == TANH else -r.tanh()
        return r

    def _decay(self) -> Tensor | None:
        """The decay d of equation 6, (rows, outputs, *positions)."""
        form, y = self._k.decay_form, self._y
        if form == NONE:
            return None
        return {INSTAR: lambda: y, OJA: lambda: y * y, SOFT: lambda: y * self._u}[form]()


def _norms(weight: Tensor) -> Tensor:
    """The norm of the weights of each unit, (outputs,)."""
    norms: Tensor = weight.flatten(1).norm(dim=1)
    return norms


def _normalized(weight: Tensor, layer: CreditLayer) -> Tensor:
    """The weights with norm 1; those of a unit that has none stay zero."""
    norms = _norms(weight)
    return weight / layer.along_weights(norms.where(norms > 0, 1.0))
