"""Connection rules: which weights of a layer are in.

A rule says which connections shall be in after an event, by a threshold on a state of its own or by two
scores: the lowest *drop* score leaves, the highest *grow* score enters. `hebbevo.nn.surgery` alone changes
masks, weights and optimiser moments.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from hebbevo.rules.rule import Need, Rule

if TYPE_CHECKING:
    from torch import Tensor


class Link(Protocol):
    """The connections of a layer, of one network or of many: (..., outputs, inputs, *kernel) if not said."""

    @property
    def weight(self) -> Tensor:
        """The weights as the optimiser has them."""

    @property
    def mask(self) -> Tensor:
        """Which connections are in at present, bool."""

    @property
    def step(self) -> Tensor:
        """Forward steps so far, laid along the weights like a knob; 1 at the end of the first."""

    @property
    def total(self) -> Tensor:
        """Forward steps of the whole training, likewise; 0: not known."""

    @property
    def coactivation(self) -> Tensor:
        """The mean over the last minibatch of input x output, of `ConnectionRule.signals`."""

    @property
    def input_mean(self) -> Tensor:
        """The mean over it of each input, as broadcast over the connections."""

    @property
    def output_mean(self) -> Tensor:
        """The mean over it of each output, likewise."""

    @property
    def input_square(self) -> Tensor:
        """The mean over it of each input's square, likewise."""

    @property
    def output_square(self) -> Tensor:
        """The mean over it of each output's square, likewise."""

    @property
    def gradient(self) -> Tensor:
        """The last gradient of the loss, that of pruned connections included."""

    @property
    def loss(self) -> Tensor | None:
        """Running mean of the training loss, likewise laid; ``None`` where it is not known."""

    @property
    def connections(self) -> int:
        """How many the layer has, pruned ones included."""

    def draw(self, stream: int) -> Tensor:
        """Uniform numbers in (0, 1): a function of seed, step, stream and connection alone."""

    def count(self, mask: Tensor) -> Tensor:
        """How many connections of each network a mask has, laid along the weights."""

    def highest(self, score: Tensor, number: Tensor, among: Tensor) -> Tensor:
        """The ``number`` connections of each network with the highest scores, of those ``among``, bool.

        NaN is the lowest score.
        """


class ConnectionRule(Rule):
    """A rule for the connections of a layer."""

    can_need = frozenset(
        {
            Need.COACTIVATION, Need.INPUT_MEAN, Need.OUTPUT_MEAN, Need.INPUT_SQUARE, Need.OUTPUT_SQUARE,
            Need.DENSE_GRADIENT, Need.LOSS, Need.LENGTH,
        }
    )  # fmt: skip
    prunes: ClassVar[bool] = True
    """Whether connections are ever pruned."""
    keeps_weights: ClassVar[bool] = False
    """Whether a connection that is out keeps its weight, and returns with it; else it has weight zero."""

    @property
    def grows(self) -> bool:
        """Whether which connections enter depends on how the others of the layer score.

        The compact stack then keeps those of pruned units, so that all have their place in the ranking.
        """
        return False

    def at_first(self, k: Any, link: Link) -> Tensor:
        """Which connections are in before the first step, bool: all, unless a rule says otherwise."""
        return link.mask

    def signals(self, k: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """What of inputs and outputs (of the layer, bias included) the sums of `Need` are made of."""
        return x, y

    def observe(self, k: Any, s: Any, link: Link) -> None:
        """Move the rule's own state by the sums of a forward step, in place."""

    @abstractmethod
    def is_event(self, k: Any, step: Tensor, total: Tensor) -> Tensor:
        """Tell whether connections may leave or enter after forward step ``step`` of ``total``, bool."""

    @abstractmethod
    def wanted(self, k: Any, s: Any, link: Link) -> Tensor:
        """Which connections shall be in after this event, bool.

        Args:
            k: knobs as attributes, each with trailing axes of size 1 so that it goes with weights.
            s: buffers as attributes, of the shape of the weights.
            link: the layer at this event.
        """


class ByThreshold(ConnectionRule):
    """Connections leave at or below a threshold, and enter above another one."""

    def wanted(self, k: Any, s: Any, link: Link) -> Tensor:
        """See `ConnectionRule.wanted`."""
        return (link.mask & self.stays(k, s, link)) | self.returns(k, s, link)

    @abstractmethod
    def stays(self, k: Any, s: Any, link: Link) -> Tensor:
        """Which of those that are in stay, bool."""

    @abstractmethod
    def returns(self, k: Any, s: Any, link: Link) -> Tensor:
        """Which are in whether they were in or not, bool."""


class ByCount(ConnectionRule):
    """Exactly as many connections as the rule says: the lowest leave, and others may take their places.

    A rule that defines ``grow`` may also let more enter than have left.
    """

    @property
    def grows(self) -> bool:
        """See `ConnectionRule.grows`."""
        return type(self).grow is not ByCount.grow

    def wanted(self, k: Any, s: Any, link: Link) -> Tensor:
        """See `ConnectionRule.wanted`."""
        there, left, swaps = link.count(link.mask), self.left(k, link), self.swaps(k, link)
        stays = link.highest(self.drop(k, s, link), left.minimum(there) - swaps, link.mask)
        if not self.grows:
            return stays
        return stays | link.highest(self.grow(k, s, link), left - link.count(stays), ~stays)

    @abstractmethod
    def left(self, k: Any, link: Link) -> Tensor:
        """How many connections are in after this event, laid along the weights."""

    def swaps(self, k: Any, link: Link) -> Tensor:
        """How many of those that are in leave for others, likewise."""
        return link.step * 0

    @abstractmethod
    def drop(self, k: Any, s: Any, link: Link) -> Tensor:
        """Scores of the connections that are in: the lowest leave."""

    def grow(self, k: Any, s: Any, link: Link) -> Tensor:
        """Scores of the others, those that have just left among them: the highest enter."""
        raise NotImplementedError
