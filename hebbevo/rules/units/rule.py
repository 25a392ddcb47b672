"""Unit rules: which units of a layer, or channels of a feature map, live.

A rule gives a *score*: the units with the lowest scores are pruned first. A *schedule*
(`hebbevo.rules.units.schedule`) says when, and how many. `hebbevo.nn.surgery` alone prunes and regrows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from hebbevo.rules.rule import Asked, Need, Needs, Rule
from hebbevo.rules.settling import SETTLE
from hebbevo.rules.units import schedule
from hebbevo.rules.units.statistics import Statistic
from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    from torch import Tensor

AUTO, FRESH, OLD = REBIRTHS = ("auto", "fresh", "old")

THRESHOLD = Knob(
    "threshold", float, 0.0, "below a threshold: a unit is pruned when its score is not above this"
)

REGROWTH = (
    Knob(
        "regrowth_rate", float, 0.0, "probability with which a pruned unit is regrown at an event",
        low=0.0, high=1.0, sensible=(0.0, 0.1),
    ),
    Knob(
        "rebirth", str, AUTO,
        "a regrown unit has fresh incoming weights and outgoing weights of zero, or its old weights; "
        "auto: fresh where the layers that read it read nothing else by those weights",
        choices=REBIRTHS,
    ),
    Knob("grace", int, 50, "forward steps in which a regrown unit is not pruned", low=0, sensible=(0, 200)),
    Knob(
        "handover", bool, False, "fold the mean output of a pruned unit into the bias of the next layer",
        choices=(False, True),
    ),
    Knob(
        "initial_neurons", float, 1.0, "fraction of a layer alive at the start; the rest is its reserve",
        low=0.0, high=1.0, sensible=(0.1, 1.0),
    ),
    Knob(
        "growth_rate", float, 0.0,
        "probability with which a pruned unit joins at an event while the training loss has stalled",
        low=0.0, high=1.0, sensible=(0.0, 0.5),
    ),
    Knob(
        "grow", int, 0,
        "pruned units that join at an event while the training loss has stalled; it then has to stall anew",
        low=0, sensible=(0, 16),
    ),
    Knob(
        "patience", int, 3, "events without a lower training loss after which it has stalled",
        low=1, sensible=(1, 20),
    ),
)  # fmt: skip

MEMORY = Knob(
    "memory", float, 0.98, "what is left of running statistics after a forward step; 1 never forgets",
    low=0.0, high=1.0, sensible=(0.9, 1.0),
)  # fmt: skip

RIDGE = Knob(
    "ridge", float, 0.01,
    "what is added to each unit's variance, in units of the mean variance, before others predict it",
    low=1e-6, sensible=(1e-3, 1e-1), log=True,
)  # fmt: skip

_RUNNING = (
    Need.MEAN, Need.MEAN_SIZE, Need.VARIANCE, Need.FIRING_RATE, Need.CORRELATION, Need.GATE_GRADIENT
)  # fmt: skip
_SHARED_NEEDS: Needs = {
    Need.FOLDABLE: (Asked("handover", True),),
    Need.EXCLUSIVE: (Asked("rebirth", FRESH),),
    Need.LENGTH: (Asked(SETTLE.name), Asked("schedule", schedule.TARGET)),
    Need.LOSS: (Asked("growth_rate"), Asked("grow")),
}
"""The needs of the knobs that every rule has which prunes."""


def unit_knobs(
    *own: Knob, scheduled: str, threshold: Knob = THRESHOLD, needs: Needs | None = None
) -> dict[str, Knob]:
    """The knobs of a unit rule: its own, those of its schedule, and those of regrowth.

    Args:
        own: knobs of its score.
        scheduled: the schedule by default, ``"threshold"`` or ``"target"``.
        threshold: the knob of the threshold, in units of the score.
        needs: of the rule; with running statistics comes a knob for their memory.
    """
    memory = [MEMORY] if any(need in (needs or {}) for need in _RUNNING) else []
    return table(*own, threshold, *memory, *schedule.knobs(scheduled), *REGROWTH)


def over_mean(values: Tensor, alive: Tensor) -> Tensor:
    """Values of living units over their mean, (..., n); 0 for pruned units, and where the mean is 0."""
    return values * alive / mean_of_living(values, alive).clamp(min=1e-30)


def mean_of_living(values: Tensor, alive: Tensor) -> Tensor:
    """The mean of the values of living units, (..., 1); 0 where none lives."""
    return (values * alive).sum(-1, keepdim=True) / alive.sum(-1, keepdim=True).clamp(min=1)


class UnitLayer(Protocol):
    """A layer of n units at an event, of one network or of many: what a score may be made of."""

    @property
    def alive(self) -> Tensor:
        """Which units live, (..., n) bool."""

    @property
    def mean(self) -> Tensor:
        """Running mean of each unit's output, (..., n)."""

    @property
    def mean_size(self) -> Tensor:
        """Running mean of the size of each unit's output, (..., n)."""

    @property
    def variance(self) -> Tensor:
        """Running variance of each unit's output within a minibatch, (..., n)."""

    @property
    def firing_rate(self) -> Tensor:
        """Running share of rows in which each unit's output is not zero, (..., n), 0 to 1."""

    @property
    def covariance(self) -> Tensor:
        """Running covariance of each pair of units within a minibatch, (..., n, n)."""

    @property
    def correlation(self) -> Tensor:
        """Running correlation of each pair of units, (..., n, n), -1 to 1."""

    @property
    def lateral_correlation(self) -> Tensor | None:
        """Correlation of each pair of units by the lateral inhibition of what feeds them, (..., n, n).

        It is ``None`` where the layer that feeds them has no lateral inhibition.
        """

    @property
    def gate_gradient(self) -> Tensor:
        """Running mean square of the loss's gradient by a gate of one on each unit's output, (..., n)."""

    @property
    def outgoing(self) -> Tensor:
        """Norm of the weights that read each unit, (..., n); 1 where no layer that reads it is known."""

    @property
    def incoming(self) -> Tensor:
        """Norm of the weights that feed each unit, without biases, (..., n); 1 where none are known."""

    @property
    def size(self) -> int:
        """Units of the layer, pruned ones included."""

    @property
    def fan_in(self) -> int:
        """How many connections lead to each unit, those that are out included."""

    @property
    def incoming_weights(self) -> Tensor:
        """The weights that feed each unit, without biases, (..., n, inputs); 0 where a connection is out.

        Inputs that come from pruned units, whose weights are 0, may be left out.
        """

    @property
    def incoming_gradients(self) -> Tensor:
        """The last gradients of `incoming_weights`, of their shape."""

    @property
    def loss(self) -> Tensor | None:
        """Running mean of the training loss, (..., 1); ``None`` where it is not known."""

    @property
    def step(self) -> Tensor:
        """Forward steps so far, (..., 1)."""

    @property
    def total(self) -> Tensor:
        """Forward steps of the whole training, (..., 1); 0: not known."""

    def by_elimination(self, fixed: Tensor, weight: Tensor, ridge: Tensor) -> tuple[Tensor, Tensor]:
        """Log scores, (..., n), of units that leave one after the other, the lowest first.

        log score_j = fixed_j + weight log(1 - R_j^2), where R_j^2 is the share of unit j's variance that the
        units which are left predict. So of two units that say the same, one leaves, and the other is no
        longer redundant.

        Args:
            fixed: what does not depend on other units, (..., n); -inf: a unit that leaves first.
            weight: 0 or more, (..., 1).
            ridge: what is added to every variance, in units of their mean, (..., 1).

        Returns:
            The scores, of which only those of units that may be pruned at this event are exact; and the
            scores as if each unit left first.
        """

    def draw(self) -> Tensor:
        """Uniform numbers in (0, 1), (..., n): a function of seed, step and unit alone."""


class Perturbation(NamedTuple):
    """What happens to weights after a step of the optimiser, (..., n) or (..., 1) each.

    A weight w to unit j becomes sign(w) max((1 - decay_j) |w| - shrinkage_j, 0) + noise_j z, with another
    z ~ N(0, 1) for each weight and step.

    Attributes:
        decay: the share of its size that a weight loses.
        shrinkage: the amount of its size that it loses then, at most all.
        noise: the standard deviation of what is added.
    """

    decay: Tensor
    shrinkage: Tensor
    noise: Tensor


class UnitRule(Rule):
    """A score for units. What a subclass leaves out is what most rules want.

    Attributes:
        threshold: the name of the knob that the schedule *threshold* compares the score with.
        statistics: sums of its own over the rows of minibatches, beside those of `Need`.
        penalties: the knobs that weigh a loss on the outputs, `penalty`; where all are zero it is not
            computed.
        parameters: names of numbers for each unit that the optimiser trains, each with its start; `gate` is
            made of them.
        prunes: whether units are ever pruned.
        recycles: whether a unit below the threshold is regrown at the event that prunes it.
        perturbs: whether it changes weights after every step of the optimiser, by `perturbation`.
    """

    can_need = frozenset(
        {
            *_RUNNING, Need.OUTGOING, Need.INCOMING, Need.INCOMING_GRADIENT, Need.FOLDABLE, Need.EXCLUSIVE,
            Need.LOSS, Need.LENGTH, Need.OWN_STEPS,
        }
    )  # fmt: skip
    threshold: ClassVar[str] = THRESHOLD.name
    statistics: ClassVar[Sequence[Statistic]] = ()
    penalties: ClassVar[Sequence[str]] = ()
    parameters: ClassVar[Mapping[str, float]] = {}
    prunes: ClassVar[bool] = True
    recycles: ClassVar[bool] = False
    perturbs: ClassVar[bool] = False

    @abstractmethod
    def score(self, k: Any, s: Any, layer: UnitLayer) -> Tensor:
        """Score every unit, (..., n): the lowest are pruned first.

        Args:
            k: knobs as attributes, (..., 1) each; (..., n) where a knob may differ from unit to unit.
            s: buffers as attributes, (..., n).
            layer: the layer at this event.
        """

    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Whether units may be pruned or regrown after forward step ``step`` of ``total``, bool.

        Args:
            k: knobs as attributes, of a shape that goes with ``step``.
            step: a forward step, counted from 1.
            total: forward steps of the whole training; 0: not known.
        """
        return schedule.is_event(k, step, total)

    def gate(self, k: Any, s: Any, drawn: Tensor | None) -> Tensor:
        """Factors of the outputs of one network, (n,), made of ``parameters``.

        Args:
            k: knobs as attributes, scalars.
            s: buffers and parameters as attributes, (n,).
            drawn: in training, uniform numbers in (0, 1), (n,), new ones at each step; in evaluation
                ``None``.
        """
        raise NotImplementedError

    def penalty(self, k: Any, s: Any, outputs: Tensor, alive: Tensor) -> Tensor:
        """A loss on the outputs of one network, added to that of the task.

        Args:
            k: knobs as attributes, scalars.
            s: buffers and parameters as attributes, (n,).
            outputs: of a minibatch, (rows, n).
            alive: which units live, (n,) bool.

        Returns:
            A scalar.
        """
        raise NotImplementedError

    def perturbation(self, k: Any, s: Any, layer: UnitLayer) -> Perturbation:
        """What happens to the weights that feed living units, after a step of the optimiser.

        Noise goes to the weights and biases of the layers that feed them, and to scale and bias of a batch
        norm in between. Decay and shrinkage go to the scale alone where there is one, else to the weights and
        biases. Nothing happens to pruned units and connections.

        Args:
            k: knobs as attributes, (..., 1) each.
            s: buffers as attributes, (..., n).
            layer: the layer at this step.
        """
        raise NotImplementedError

    def all_needs(self) -> Needs:
        """The needs of the rule and, where it prunes, of the knobs of pruning and regrowth."""
        return {**_SHARED_NEEDS, **self.needs} if self.prunes else self.needs
