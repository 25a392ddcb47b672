"""Credit rules: how a layer learns.

A rule may give a layer a loss of its own, an update in place of the optimiser's, or a backward pass of its
own, each by one method. It acts in training mode only: in evaluation, and where survivors are counted, the
layer is the plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from hebbevo.rules.rule import Buffer, Need, Rule
from hebbevo.space.knobs import Value

if TYPE_CHECKING:
    from torch import Tensor


class Updates(NamedTuple):
    """What is added to the weights and the bias of a layer after a forward step; ``None``: nothing.

    Attributes:
        weight: (outputs, inputs, *kernel).
        bias: (outputs,).
        feedback: of the backward weights, (outputs, inputs, *kernel).
    """

    weight: Tensor | None = None
    bias: Tensor | None = None
    feedback: Tensor | None = None


class Start(NamedTuple):
    """The weights and the bias with which a layer begins; ``None``: those that it has.

    Attributes:
        weight: (outputs, inputs, *kernel).
        bias: (outputs,); left out where the layer has none.
    """

    weight: Tensor | None = None
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

    @property
    def fan(self) -> tuple[int, int]:
        """Connections that lead to an output, and those that lead from an input, of the whole layer."""

    @property
    def dim(self) -> int:
        """The axis of the outputs in what the layer gives, counted from the last."""

    def connected(self, values: Tensor) -> Tensor:
        """Values of the shape of the weights, zero where a connection mask has taken a connection out."""

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The outputs of the plain layer with this weight and bias."""

    def along_outputs(self, values: Tensor) -> Tensor:
        """One value for each output, (outputs,), in a shape that is broadcast to that of the outputs."""

    def along_weights(self, values: Tensor) -> Tensor:
        """One value for each output, (outputs,), in a shape that is broadcast to that of the weights."""

    def mean(self, y: Tensor) -> Tensor:
        """The mean of each output over rows and positions, (outputs,)."""

    @property
    def groups(self) -> int:
        """Groups of a convolution, whose outputs have other inputs; 1 for a linear layer."""

    def solve(self, matrix: Tensor, values: Tensor) -> Tensor:
        """The solution X of matrix X = values, not finite where there is none."""

    def transposed(self, y: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """What outputs of the shape of y send back through a weight to the inputs, of the shape of x."""

    def through(self, x: Tensor, backward: Tensor, tied: Tensor | None = None) -> Tensor:
        """The outputs of the layer, with a backward pass through other weights.

        With the gradient g of the outputs, that of the inputs is ``transposed(g, backward, x)``. Weight and
        bias have the gradients of the plain layer, and ``tied`` has that of the weight.
        """

    def with_output_error(self, x: Tensor) -> Tensor:
        """The outputs of the plain layer, where x has the error of the network's outputs as its gradient.

        The error comes to x through random weights that are drawn once. Their size is that of the knob
        ``feedback_scale``, as `feedback_bound` has it.
        """

    def with_reward(self, x: Tensor, noise: Any) -> Tensor:
        """Outputs that are drawn around those of the plain layer, which learn by the reward of each row.

        Args:
            x: inputs.
            noise: standard deviation of the outputs.
        """

    def coactivation(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean over rows and positions of y_j x_i, of the shape of the weights."""

    def draw(self, shape: tuple[int, ...], stream: int, once: Tensor | None = None) -> Tensor:
        """Uniform numbers in (0, 1): a function of seed, step, stream and place in ``shape`` alone.

        Where ``once``, () bool, they are the same at every step.
        """


class CreditRule(Rule):
    """A learning rule; what a subclass leaves out is what backpropagation does.

    Attributes:
        updates: whether `update` changes the weights. They then have no gradient, and belong to no optimiser.
            In hebbevo's own networks only hidden layers have this kind of rule: the last one learns the task.
        local: whether there is a `local_loss`.
        buffers: its state by name, of the shape of the weights, or one number for each pair of outputs. Where
            units are pruned, two are known by name: ``wired``, bool, which connections are there; and
            ``lateral``, of pairs, the second moment of their outputs, by which `decorrelation` prunes.
        unit_buffers: further state by name, one number for each output.
        at_start: knobs that act when the layer is made, and can be set only there.
        has_feedback: whether the layer has backward weights of its own, ``s.feedback``, of the shape of its
            weights. They are drawn once, in the size of the knob ``feedback_scale``.
        is_direct: whether a backward pass needs the error of the network's outputs.
        hidden_only: whether hebbevo's own networks have the rule in hidden layers only, though it does not
            update weights by itself.
    """

    can_need = frozenset({Need.LENGTH})
    updates: ClassVar[bool] = False
    local: ClassVar[bool] = False
    unit_buffers: ClassVar[Mapping[str, Buffer]] = {}
    at_start: ClassVar[frozenset[str]] = frozenset()
    has_feedback: ClassVar[bool] = False
    is_direct: ClassVar[bool] = False
    hidden_only: ClassVar[bool] = False

    def structure(self, value: Callable[[str], Any]) -> Mapping[str, Value]:
        """Plain values by which methods may decide what they compute; ``k`` has them by these names.

        Networks that differ in one are stacked apart. Where ``is_tied`` is true, ``s.feedback`` is a
        parameter, which the optimiser trains.

        Args:
            value: gives the plain value of a knob.
        """
        return {}

    def start(self, k: Any, s: Any, layer: CreditLayer) -> Start:
        """The weights with which the layer begins; may set buffers in place. Called once, before step 1."""
        return Start()

    def forward(self, k: Any, s: Any, layer: CreditLayer, x: Tensor) -> Tensor:
        """The outputs of the layer, (rows, outputs, *positions); their graph is its backward pass.

        Args:
            k: knobs as attributes, scalars.
            s: buffers as attributes, of the shape of the weights; those of units, of (outputs,); those of
                pairs, of (outputs, outputs).
            layer: of one network.
            x: its inputs, (rows, inputs, *positions).
        """
        return layer.plain(x, layer.weight, layer.bias)

    def local_loss(self, k: Any, s: Any, layer: CreditLayer, x: Tensor, y: Tensor) -> Tensor:
        """A loss of this layer alone, a scalar; its gradient is added to that of the task's loss."""
        raise NotImplementedError

    def update(self, k: Any, s: Any, layer: CreditLayer, x: Tensor, y: Tensor) -> Updates | None:
        """What is added to the weights after this forward pass; ``None``: nothing.

        Where the rule ``updates``, this takes the place of the optimiser's step; else it is a step beside it.
        """
        return None

    def fresh_norm(self, k: Any) -> Tensor | None:
        """The norm of the weights with which a unit that is regrown begins; ``None``: as He has it.

        Args:
            k: knobs as attributes, (...), of one network or of many.
        """
        return None

    def backward_weight(self, k: Any, s: Any, layer: CreditLayer) -> Tensor | None:
        """The weights of the backward pass, of the shape of the layer's; ``None``: its own, or none."""
        return None


def feedback_bound(scale: Any, fan: tuple[int, int]) -> Any:
    """The largest size of a backward weight when it is drawn, uniformly.

    That is ``scale`` times the one of Glorot & Bengio (2010, http://proceedings.mlr.press/v9/glorot10a.html,
    equation 16), sqrt(6 / (fan-in + fan-out)).

    >>> round(feedback_bound(1.0, (500, 10)), 4)
    0.1085
    """
    return scale * (6 / sum(fan)) ** 0.5
