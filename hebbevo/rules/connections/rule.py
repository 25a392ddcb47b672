"""Connection rules: which weights of a layer are connected.

A rule says which connections shall be in after an event. It does so by a threshold on a state of its own
(`ByThreshold`), or by two scores (`ByCount`): connections with the lowest *drop* scores leave, and those with
the highest *grow* scores enter. `hebbevo.nn.surgery` alone changes masks, weights and optimiser moments.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from hebbevo.rules.rule import Need, Rule

if TYPE_CHECKING:
    from torch import Tensor


class ConnectionLayer(Protocol):
    """The connections of a layer at a step, of one network or of many: what a rule may be made of.

    Tensors are (..., outputs, inputs, *kernel) if nothing else is said. "Laid along the weights" is a number
    for each network, with axes of size 1 appended so that it goes with weights.
    """

    @property
    def weight(self) -> Tensor:
        """The weights as the optimiser has them."""

    @property
    def mask(self) -> Tensor:
        """Which connections are in at present, bool."""

    @property
    def step(self) -> Tensor:
        """Forward steps so far, laid along the weights; 1 at the end of the first."""

    @property
    def total(self) -> Tensor:
        """Forward steps of the whole training, laid along the weights; 0: not known."""

    @property
    def coactivation(self) -> Tensor:
        """The mean over the last minibatch of input x output, as `ConnectionRule.signals` gives them."""

    @property
    def input_mean(self) -> Tensor:
        """The mean of each input over the last minibatch, of a shape broadcast to the weights."""

    @property
    def output_mean(self) -> Tensor:
        """The mean of each output over the last minibatch, of a shape broadcast to the weights."""

    @property
    def input_square(self) -> Tensor:
        """The mean of each input's square over the last minibatch, of a shape broadcast to the weights."""

    @property
    def output_square(self) -> Tensor:
        """The mean of each output's square over the last minibatch, of a shape broadcast to the weights."""

    @property
    def gradient(self) -> Tensor:
        """The last gradient of the loss, that of pruned connections included."""

    @property
    def loss(self) -> Tensor | None:
        """Running mean of the training loss, laid along the weights; ``None`` where it is not known."""

    @property
    def longest_stall(self) -> Tensor:
        """The most events in a row without a lower training loss so far, laid along the weights."""

    @property
    def connections(self) -> int:
        """How many connections the layer has, pruned ones included."""

    @property
    def fan_in(self) -> int:
        """How many connections lead to each output, pruned ones included."""

    @property
    def density(self) -> Tensor:
        """The fraction of its connections that the layer shall have, laid along the weights.

        `hebbevo.rules.connections.density` finds it, for rules that have its knobs.
        """

    @property
    def living(self) -> Tensor:
        """Which connections lie between living units, as far as known, broadcast to the weights, bool."""

    def draw(self, stream: int) -> Tensor:
        """Uniform numbers in (0, 1): a function of seed, step, stream and connection alone."""

    def count(self, mask: Tensor) -> Tensor:
        """How many connections of each network are in a mask, laid along the weights."""

    def summed(self, values: Tensor) -> Tensor:
        """The sum of a value of each connection over those of each network, laid along the weights."""

    def highest(self, score: Tensor, number: Tensor, among: Tensor) -> Tensor:
        """Of the connections in ``among``, the ``number`` of each network with the highest scores, bool.

        NaN is the lowest score.
        """

    def count_of_each(self, mask: Tensor) -> Tensor:
        """How many connections of each output are in a mask, (..., outputs, 1, *ones)."""

    def highest_of_each(self, score: Tensor, number: Tensor, among: Tensor) -> Tensor:
        """`highest` among the connections of each output; ``number`` is (..., outputs, 1, *ones)."""


class ConnectionRule(Rule):
    """A rule for the connections of a layer.

    Attributes:
        prunes: whether connections are ever pruned.
        keeps_weights: whether a connection that is out keeps its weight, with which it enters again;
            otherwise its weight is zero.
        sums: what some of the rule's buffers are: the sum of this `Need` over the minibatches since the last
            event that the rule observes. A sum is of the shape of the weights, or broadcast to it.
    """

    can_need = frozenset(
        {
            Need.COACTIVATION, Need.INPUT_MEAN, Need.OUTPUT_MEAN, Need.INPUT_SQUARE, Need.OUTPUT_SQUARE,
            Need.DENSE_GRADIENT, Need.LOSS, Need.LENGTH, Need.OPTIMIZER,
        }
    )  # fmt: skip
    prunes: ClassVar[bool] = True
    keeps_weights: ClassVar[bool] = False
    sums: ClassVar[Mapping[str, Need]] = {}

    @property
    def grows(self) -> bool:
        """Whether the connections that enter depend on the scores of the others of the layer.

        The compact stack then keeps the connections of pruned units, so that all have their place in the
        ranking.
        """
        return False

    @property
    def gathers(self) -> bool:
        """Whether the rule has `observe` or `sums`."""
        return bool(self.sums) or self.has_observe

    @property
    def has_observe(self) -> bool:
        """Whether the rule has an `observe` of its own."""
        return type(self).observe is not ConnectionRule.observe

    def at_first(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """Which connections are in before the first step, bool: all, unless a rule says otherwise."""
        return layer.mask

    def signals(self, k: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The signals of which the sums of `Need` are made: inputs and outputs, or functions of them.

        Args:
            k: knobs as attributes.
            x: inputs of the layer.
            y: its outputs, with the bias.
        """
        return x, y

    def observe(self, k: Any, s: Any, layer: ConnectionLayer) -> None:
        """Update the rule's state after a forward step, in place."""

    def observes(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Whether anything is gathered after forward step ``step`` of ``total``, bool.

        Where nothing is, `observe` may change nothing, and no `Need` is computed. A rule that has `observe`
        or `sums` observes every step, unless it says otherwise here.
        """
        observed: Tensor = step > (0 if self.gathers else step)
        return observed

    @abstractmethod
    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Whether connections may leave or enter after forward step ``step`` of ``total``, bool."""

    @abstractmethod
    def wanted(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Which connections shall be in after this event, bool.

        Args:
            k: knobs as attributes, laid along the weights.
            s: buffers as attributes, of the shape of the weights.
            layer: the layer at this event.
        """

    def start(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Weights with which connections enter, and to which `restarts` sets others back: zeros."""
        return layer.weight * 0

    def restarts(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """Whether all connections that are in take on their weight of `start`, laid along the weights: no."""
        return layer.step < 0


class ByThreshold(ConnectionRule):
    """Connections leave at or below a threshold, and enter above another one."""

    def wanted(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """See `ConnectionRule.wanted`."""
        return (layer.mask & self.stays(k, s, layer)) | self.returns(k, s, layer)

    @abstractmethod
    def stays(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Which of the connections that are in stay, bool."""

    @abstractmethod
    def returns(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Which connections are in after the event whether they were in or not, bool."""


class ByCount(ConnectionRule):
    """Exactly as many connections as the rule says: the lowest leave, and others may take their places.

    A rule that defines ``grow`` may also let more connections enter than have left.
    """

    @property
    def grows(self) -> bool:
        """See `ConnectionRule.grows`."""
        return type(self).grow is not ByCount.grow

    def wanted(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """See `ConnectionRule.wanted`."""
        stays = self.stays(k, s, layer)
        return stays | self.enters(k, s, layer, stays) if self.grows else stays

    def stays(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Which of the connections that are in stay, bool: the highest by `drop`."""
        present = layer.count(layer.mask).minimum(self.left(k, layer))
        return layer.highest(self.drop(k, s, layer), present - self.swaps(k, layer), layer.mask)

    def enters(self, k: Any, s: Any, layer: ConnectionLayer, stays: Tensor) -> Tensor:
        """Which enter beside those that stay, bool: the highest by `grow`, between living units."""
        number = self.left(k, layer) - layer.count(stays)
        return layer.highest(self.grow(k, s, layer), number, ~stays & layer.living)

    @abstractmethod
    def left(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """How many connections are in after this event, laid along the weights."""

    def swaps(self, k: Any, layer: ConnectionLayer) -> Tensor:
        """How many of the connections that are in make room for others, laid along the weights: none."""
        return layer.step * 0

    @abstractmethod
    def drop(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Scores of the connections that are in: the lowest leave."""

    def grow(self, k: Any, s: Any, layer: ConnectionLayer) -> Tensor:
        """Scores of all other connections, also of those that leave at this event: the highest enter."""
        raise NotImplementedError
