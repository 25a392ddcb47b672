"""Credit rules: how a layer learns.

A rule may give a loss of the layer's own, an update in place of the optimiser's, or a backward pass of its
own, each by one method. It acts in training mode only: evaluation and the counting of survivors see the plain
layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from hebbevo.rules.rule import Need, Rule

if TYPE_CHECKING:
    from torch import Tensor


class Updates(NamedTuple):
    """What is added to a layer's weights and bias after a forward step; ``None``: nothing."""

    weight: Tensor
    bias: Tensor | None = None


class Layer(Protocol):
    """A linear layer or a convolution in a forward pass of one network."""

    @property
    def weight(self) -> Tensor:
        """(outputs, inputs, *kernel), zero where a connection is out."""

    @property
    def bias(self) -> Tensor | None:
        """(outputs,), or ``None``."""

    @property
    def step(self) -> Tensor:
        """Forward steps before this one, ()."""

    @property
    def total(self) -> Tensor:
        """Forward steps of the whole training, (); 0: not known."""

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What the layer computes with such weights."""

    def coactivation(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean over rows and positions of y_j x_i, of the shape of the weights."""

    def draw(self, shape: tuple[int, ...], stream: int) -> Tensor:
        """Uniform numbers in (0, 1): a function of seed, step, stream and place alone."""


class CreditRule(Rule):
    """A learning rule; what a subclass leaves out is what backpropagation does."""

    can_need = frozenset({Need.LENGTH})
    updates: ClassVar[bool] = False
    """Whether `update` moves the weights; no gradient reaches them then, and no optimiser has them.

    hebbevo's own networks put such a rule on hidden layers only: the last one learns the task.
    """
    local: ClassVar[bool] = False
    """Whether there is a `local_loss`."""

    def forward(self, k: Any, s: Any, layer: Layer, x: Tensor) -> Tensor:
        """The layer's outputs, (rows, outputs, *positions), and with them its backward pass.

        Args:
            k: knobs as attributes, scalars.
            s: buffers as attributes, of the shape of the weights.
            layer: of one network.
            x: its inputs.
        """
        return layer.plain(x, layer.weight, layer.bias)

    def local_loss(self, k: Any, s: Any, layer: Layer, x: Tensor, y: Tensor) -> Tensor:
        """A loss of this layer alone, a scalar; its gradient is added to that of the task's loss."""
        raise NotImplementedError

    def update(self, k: Any, s: Any, layer: Layer, x: Tensor, y: Tensor) -> Updates:
        """What is added to the weights after this forward pass, in place of the optimiser's step."""
        raise NotImplementedError
