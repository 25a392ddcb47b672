"""Credit rules: how a layer learns.

A rule may give a layer a loss of its own, an update in place of the optimiser's, or a backward pass of its
own, each by one method. It acts in training mode only: in evaluation, and where survivors are counted, the
layer is the plain one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from hebbevo.rules.rule import Need, Rule

if TYPE_CHECKING:
    from torch import Tensor


class Updates(NamedTuple):
    """What is added to the weights and the bias of a layer after a forward step; ``None``: nothing.

    Attributes:
        weight: (outputs, inputs, *kernel).
        bias: (outputs,).
    """

    weight: Tensor
    bias: Tensor | None = None


class CreditLayer(Protocol):
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
        """The outputs of the plain layer with this weight and bias."""

    @property
    def groups(self) -> int:
        """Groups of a convolution, whose outputs have other inputs; 1 for a linear layer."""

    def solve(self, matrix: Tensor, values: Tensor) -> Tensor:
        """The solution X of matrix X = values, not finite where there is none."""

    def coactivation(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean over rows and positions of y_j x_i, of the shape of the weights."""

    def draw(self, shape: tuple[int, ...], stream: int) -> Tensor:
        """Uniform numbers in (0, 1): a function of seed, step, stream and place in ``shape`` alone."""


class CreditRule(Rule):
    """A learning rule; what a subclass leaves out is what backpropagation does.

    Attributes:
        updates: whether `update` changes the weights. They then have no gradient, and belong to no optimiser.
            In hebbevo's own networks only hidden layers have this kind of rule: the last one learns the task.
        local: whether there is a `local_loss`.
    """

    can_need = frozenset({Need.LENGTH})
    updates: ClassVar[bool] = False
    local: ClassVar[bool] = False

    def forward(self, k: Any, s: Any, layer: CreditLayer, x: Tensor) -> Tensor:
        """The outputs of the layer, (rows, outputs, *positions); their graph is its backward pass.

        Args:
            k: knobs as attributes, scalars.
            s: buffers as attributes, of the shape of the weights; (outputs, outputs) where they are of pairs.
            layer: of one network.
            x: its inputs, (rows, inputs, *positions).
        """
        return layer.plain(x, layer.weight, layer.bias)

    def local_loss(self, k: Any, s: Any, layer: CreditLayer, x: Tensor, y: Tensor) -> Tensor:
        """A loss of this layer alone, a scalar; its gradient is added to that of the task's loss."""
        raise NotImplementedError

    def update(self, k: Any, s: Any, layer: CreditLayer, x: Tensor, y: Tensor) -> Updates:
        """What is added to the weights after this forward pass, in place of the optimiser's step."""
        raise NotImplementedError
