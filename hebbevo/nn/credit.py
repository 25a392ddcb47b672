"""Layers under a credit rule: in training mode with a loss, an update or a backward pass of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.grad import conv1d_weight, conv2d_weight, conv3d_weight

from hebbevo.errors import UsageError
from hebbevo.nn import backward_pass, stateless_random, surgery
from hebbevo.nn.backward_pass import OutputError
from hebbevo.nn.layer_units import FEEDBACK_STREAM, REWARD_STREAM
from hebbevo.nn.plastic import InjectedLoss, Plastic, TensorNamespace
from hebbevo.rules import CREDIT
from hebbevo.rules.credit.backprop import Backprop
from hebbevo.rules.credit.rule import CreditRule, Updates, feedback_bound
from hebbevo.space.knobs import Value

WeightLayer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
"""The layers whose weights a rule can mask or train."""

FEEDBACK = "credit.feedback"
"""The backward weights of a layer under a credit rule, by the dotted name from the layer."""


class Credit(Plastic):
    """The knobs and buffers of a credit rule for one layer.

    Attributes:
        structural: what decides what the rule computes, as plain values by name.
        feedback: backward weights of the shape of the layer's, where the rule has some. Where the structure
            ``is_tied`` they are a parameter, which the optimiser trains.

    Args:
        rule: a credit rule.
        weight: of the layer, (outputs, inputs, *kernel).
        seed: of the random numbers; by default drawn from PyTorch's generator.
        knobs: see ``rule.knobs``.

    Raises:
        UsageError: an unknown knob, or a value outside its range.
    """

    rule: CreditRule
    feedback: Tensor

    def __init__(self, rule: CreditRule, weight: Tensor, *, seed: int | None = None, **knobs: Value) -> None:
        super().__init__(rule, seed)
        self._has_started = False
        self.configure(**knobs)
        of_outputs = weight.detach().new_empty(len(weight))
        for buffers, like in ((rule.buffers, weight.detach()), (rule.unit_buffers, of_outputs)):
            for name, buffer in buffers.items():
                start = self._value(buffer.start) if isinstance(buffer.start, str) else buffer.start
                dtype = torch.bool if isinstance(start, bool) else like.dtype
                shape = (len(weight), len(weight)) if buffer.pairs else like.shape
                self.register_buffer(name, like.new_full(shape, start, dtype=dtype))
        if rule.has_feedback:
            self.register_buffer("feedback", torch.empty_like(weight.detach()))
            self._draw_feedback()
            self._follow_knobs()
        self.to(weight.device)

    @property
    def tensors(self) -> dict[str, Any]:
        """Knobs, buffers and parameters, by name."""
        return {**self._buffers, **self._parameters}

    @property
    def k(self) -> TensorNamespace:
        """Knobs as a rule sees them."""
        return TensorNamespace({**self._buffers, **self.structural})

    @property
    def s(self) -> TensorNamespace:
        """Buffers and parameters as a rule sees them."""
        return TensorNamespace(self.tensors)

    def configure(self, **knobs: Value | Sequence[float] | Tensor) -> None:
        """Set knobs before the training; the others stay as they are.

        Raises:
            UsageError: unknown knob, a value outside its range, or one that acts when the layer is made;
                nothing is set then.
        """
        if self._has_started and (late := sorted(self.rule.at_start & knobs.keys())):
            raise UsageError(f"{self._title}: {late[0]} acts when the layer is made; give it there")
        super().configure(**knobs)
        if "feedback_scale" in knobs and "feedback" in self.tensors:
            self._draw_feedback()

    @property
    def _title(self) -> str:
        return self.rule.name

    def has_started(self) -> None:
        """Note that the layer has its first weights."""
        self._has_started = True

    def is_event(self, step: Tensor, stacked: Mapping[str, Tensor] | None = None) -> Tensor:
        """Never: nothing is pruned."""
        return step < 0

    def _follow_knobs(self) -> None:
        super()._follow_knobs()
        # plain values of the module are part of its structure, by which networks are stacked
        self.structural = dict(self.rule.structure(self._value))
        tied, feedback = bool(self.structural.get("is_tied")), self.tensors.get("feedback")
        if feedback is not None and tied is not isinstance(feedback, nn.Parameter):
            del self.feedback
            if tied:
                self.register_parameter("feedback", nn.Parameter(feedback.detach()))
            else:
                self.register_buffer("feedback", feedback.detach())

    @torch.no_grad()
    def _draw_feedback(self) -> None:
        shape = tuple(self.feedback.shape)
        seed, zero = self.seed, torch.zeros_like(self.seed)
        drawn = 2 * stateless_random.uniform(seed, zero, shape, FEEDBACK_STREAM) - 1
        bound = feedback_bound(float(self._value("feedback_scale")), fan(self.feedback))
        self.feedback.copy_(drawn * bound)


def fan(weight: Tensor) -> tuple[int, int]:
    """Connections that lead to an output of a layer and from an input of it, as ``nn.init`` counts them.

    >>> fan(torch.zeros(10, 500))
    (500, 10)
    """
    kernel = weight[0, 0].numel()
    return weight.shape[1] * kernel, weight.shape[0] * kernel


@dataclass(frozen=True)
class _CreditLayer:
    """A layer in one forward pass: the `hebbevo.rules.credit.rule.CreditLayer` that its rule sees."""

    module: Credited
    weight: Tensor
    bias: Tensor | None
    mask: Tensor | None

    @property
    def dim(self) -> int:
        """The axis of the outputs, counted from the last."""
        return 1 - self.weight.dim() if self.weight.dim() > 2 else -1

    def along_outputs(self, values: Tensor) -> Tensor:
        """One value for each output, broadcast to the outputs."""
        return values.reshape(-1, *(1,) * (-1 - self.dim))

    def along_weights(self, values: Tensor) -> Tensor:
        """One value for each output, broadcast to the weights."""
        return values.reshape(-1, *(1,) * (self.weight.dim() - 1))

    def mean(self, y: Tensor) -> Tensor:
        """The mean of each output over rows and positions."""
        own = y.dim() + self.dim
        axes = [axis for axis in range(y.dim()) if axis != own]
        return y.mean(axes) if axes else y

    @property
    def step(self) -> Tensor:
        """Forward steps before this one."""
        return self.module.credit.steps

    @property
    def total(self) -> Tensor:
        """Forward steps of the whole training."""
        return self.module.credit.total_steps

    @property
    def fan(self) -> tuple[int, int]:
        """Connections that lead to an output, and those that lead from an input."""
        return fan(self.weight)

    def connected(self, values: Tensor) -> Tensor:
        """Values of the shape of the weights, zero where a connection is out."""
        return values if self.mask is None else torch.where(self.mask, values, 0)

    def transposed(self, y: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """What outputs send back to the inputs."""
        return backward_pass.transposed(self.module, y, weight, x)

    def through(self, x: Tensor, backward: Tensor, tied: Tensor | None = None) -> Tensor:
        """The outputs of the layer, with a backward pass through other weights."""
        return backward_pass.through(self.module, x, self.weight, self.bias, backward, tied)

    def with_output_error(self, x: Tensor) -> Tensor:
        """The outputs of the plain layer, where x has the error of the network's outputs as its gradient."""
        self._output_error.read(x, partial(self._direct_weights, x[0].numel()))
        return self.module.plain(x.detach(), self.weight, self.bias)

    def with_reward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Outputs that are drawn around those of the plain layer, and learn by the reward of each row."""
        output_error = self._output_error
        mean = self.module.plain(x, self.weight, self.bias)
        shape = tuple(mean.shape)
        drawn = stateless_random.normal(self.module.credit.seed, self.step, shape, REWARD_STREAM)
        y = mean + noise * drawn.to(mean.dtype)
        there = (self.weight.detach() != 0).flatten(1).any(1)  # unlike pruned outputs, which must not learn
        if self.bias is not None:
            there = there | (self.bias.detach() != 0)
        positions = 0 if isinstance(self.module, nn.Linear) else self.weight.dim() - 2
        output_error.read_reward(y, drawn / noise * there.reshape(-1, *(1,) * positions))
        return y.detach()  # what follows has no other way to teach it

    @property
    def _output_error(self) -> OutputError:
        error = self.module.output_error
        if error is None:
            how = "call hebbevo.nn.attach(model, optimizer)"
            raise UsageError(f"{self.module.credit.rule.name} needs the error of the model's outputs; {how}")
        return error

    def _direct_weights(self, inputs: int, outputs: int) -> Tensor:
        """Weights from the outputs of the network to inputs of the layer, (outputs, inputs)."""
        drawn = self.draw((outputs, inputs), FEEDBACK_STREAM, once=self.step >= 0)
        scale = self.module.credit.tensors["feedback_scale"]
        return cast(Tensor, (2 * drawn - 1) * feedback_bound(scale, (inputs, outputs)))

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The outputs of the plain layer with this weight and bias."""
        return self.module.plain(x, weight, bias)

    @property
    def groups(self) -> int:
        """Groups of a convolution, whose outputs have other inputs."""
        return int(getattr(self.module, "groups", 1))

    def solve(self, matrix: Tensor, values: Tensor) -> Tensor:
        """The solution X of matrix X = values."""
        # without a check: a matrix that is not finite is to fail its own network, not the whole stack
        precise = torch.promote_types(matrix.dtype, torch.float32)  # there is no inverse in half precision
        inverse: Tensor = torch.linalg.inv_ex(matrix.to(precise)).inverse
        return inverse.to(values.dtype) @ values

    def coactivation(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean over rows and positions of y_j x_i."""
        layer = cast(WeightLayer, self.module)
        if isinstance(layer, nn.Linear):
            x, y = x.reshape(-1, layer.in_features), y.reshape(-1, layer.out_features)
            return coactivation_sum(layer, x, y) / len(y)
        if x.dim() < layer.weight.dim():
            x, y = x.unsqueeze(0), y.unsqueeze(0)
        return coactivation_sum(layer, x, y) * layer.out_channels / y.numel()

    def draw(self, shape: tuple[int, ...], stream: int, once: Tensor | None = None) -> Tensor:
        """Uniform numbers in (0, 1)."""
        step = self.step if once is None else torch.where(once, 0, self.step)
        return stateless_random.uniform(self.module.credit.seed, step, shape, stream)


class Credited(nn.Module):
    """A layer under a credit rule; in evaluation mode it is the plain layer.

    Attributes:
        credit: the rule, with knobs and buffers.
        mask: the connection mask around the layer, which gives it its weights in a forward pass; or none.
        output_error: leads the error of the model's outputs to layers, once the model is attached.
    """

    credit: Credit
    weight: nn.Parameter
    bias: nn.Parameter | None
    mask: tuple[nn.Module, ...]
    output_error: OutputError | None
    _pending: Updates | None

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs to outputs; in training mode as the rule does.

        Args:
            x: (rows, inputs, *positions).

        Returns:
            (rows, outputs, *positions).

        Raises:
            UsageError: the rule needs what only `hebbevo.nn.attach` gives, or this is gradient checkpointing.
        """
        if not self.training or not x.numel():  # nothing can be learned from a minibatch without rows
            return self.plain(x, self.weight, self.bias)
        credit = self.credit
        credit.refuse_recomputation()
        credit.refuse_to_train_alone()
        rule, k, s = credit.rule, credit.k, credit.s
        layer = self._layer()
        if rule.updates:  # the weights change below, and the backward pass needs the present ones
            bias = None if self.bias is None else self.bias.clone()
            layer = _CreditLayer(self, self.weight.clone(), bias, layer.mask)
        y = rule.forward(k, s, layer, x)
        if rule.local:
            loss = rule.local_loss(k, s, layer, x, y)
            y = cast(Tensor, InjectedLoss.apply(y, loss))  # type: ignore[no-untyped-call]
        with torch.no_grad(), torch.autocast(y.device.type, enabled=False):
            dtype = layer.weight.dtype
            self._pending = rule.update(k, s, layer, x.detach().to(dtype), y.detach().to(dtype))
            credit.steps.add_(1)
            if not self.mask:  # else ``weight`` is a masked copy, and the mask calls this after the step
                self.apply_updates()
        return y

    def apply_updates(self) -> None:
        """Add the updates of this forward pass to the weights, in place."""
        updates, self._pending = self._pending, None
        if updates is not None:
            own = [(self.weight, updates.weight), (self.bias, updates.bias)]
            surgery.add_updates([*own, (self.credit.tensors.get("feedback"), updates.feedback)])

    def backward_weight(self) -> Tensor | None:
        """The weights through which its backward pass goes, of the shape of ``weight``.

        It is ``None`` where these are the layer's own, or where errors come from the outputs of the network.
        """
        credit = self.credit
        with torch.no_grad():
            return credit.rule.backward_weight(credit.k, credit.s, self._layer())

    def angle(self) -> Tensor:
        """The angle between the weights and those of the backward pass, (), in degrees.

        It is 90 if one of them is zero or not finite, and has no direction.

        Raises:
            UsageError: the layer has no backward weights of its own.
        """
        weight, backward = map(_direction, self._both_weights())
        angle: Tensor = (weight * backward).sum().clamp(-1, 1).acos().rad2deg()
        return angle

    def norm_ratio(self) -> Tensor:
        """The norm of the weights of the backward pass over that of the weights, ().

        Raises:
            UsageError: the layer has no backward weights of its own.
        """
        weight, backward = self._both_weights()
        ratio: Tensor = backward.norm() / weight.norm()
        return ratio

    def _both_weights(self) -> tuple[Tensor, Tensor]:
        backward = self.backward_weight()
        if backward is None:
            raise UsageError(f"{self.credit.rule.name}: the layer has no backward weights of its own")
        return self._layer().connected(self.weight.detach()).double(), backward.double()

    def _layer(self) -> _CreditLayer:
        """The layer as its rule sees it."""
        mask = cast(Tensor, self.mask[0].connected).clone() if self.mask else None
        return _CreditLayer(self, self.weight, self.bias, mask)

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The outputs of the plain layer with this weight and bias."""
        raise NotImplementedError

    def _take_parameters(self, layer: WeightLayer, credit: Credit) -> None:
        """Take the parameters of a layer; those that the rule updates have no gradient from now on."""
        self.weight, self.bias = cast(nn.Parameter, layer.weight), cast(nn.Parameter | None, layer.bias)
        self.credit, self.mask, self.output_error = credit, (), None
        self._pending = None
        with torch.no_grad():
            started = credit.rule.start(credit.k, credit.s, self._layer())
            surgery.begin_with([(self.weight, started.weight), (self.bias, started.bias)])
        credit.has_started()
        if credit.rule.updates:
            for parameter in (layer.weight, layer.bias):
                if parameter is not None:
                    parameter.requires_grad_(False)


class CreditedLinear(Credited, nn.Linear):  # type: ignore[misc]
    """A linear layer under a credit rule; shares the parameters of ``layer``."""

    def __init__(self, layer: nn.Linear, credit: Credit) -> None:
        nn.Linear.__init__(self, layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self._take_parameters(layer, credit)

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """See `Credited.plain`."""
        return F.linear(x, weight, bias)


def _convolution(kind: type[Any]) -> type[Any]:
    """Make the class of a convolution of one dimension, such as `nn.Conv2d`, under a credit rule."""

    class CreditedConv(Credited, kind):  # type: ignore[misc]
        def __init__(self, layer: Any, credit: Credit) -> None:
            kind.__init__(
                self, layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
                layer.dilation, layer.groups, layer.bias is not None, layer.padding_mode, device="meta",
            )  # fmt: skip
            self._take_parameters(layer, credit)

        def plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            forward: Callable[..., Tensor] = self._conv_forward  # type: ignore[assignment]
            return forward(x, weight, bias)

    CreditedConv.__name__ = CreditedConv.__qualname__ = f"Credited{kind.__name__}"
    return CreditedConv


CreditedConv1d, CreditedConv2d, CreditedConv3d = map(_convolution, (nn.Conv1d, nn.Conv2d, nn.Conv3d))

_CREDITED: dict[type[nn.Module], type[Any]] = {
    nn.Linear: CreditedLinear,
    nn.Conv1d: CreditedConv1d,
    nn.Conv2d: CreditedConv2d,
    nn.Conv3d: CreditedConv3d,
}


def credited(
    rule: str | CreditRule, layer: nn.Module, *, seed: int | None = None, **knobs: Value
) -> nn.Module:
    """Put a linear layer or a convolution under a credit rule.

    Args:
        rule: a name in `hebbevo.rules.CREDIT`, or a rule of the user's own.
        layer: its parameters become those of the layer that is returned.
        seed: of the random numbers; by default drawn from PyTorch's generator.
        knobs: of the rule.

    Returns:
        The layer under the rule; under backpropagation, ``layer`` itself.

    Raises:
        UsageError: a layer of another kind, an unknown rule or knob, or a value outside its range.

    >>> from torch import nn
    >>> from hebbevo.nn import credited
    >>> credited("backprop", nn.Linear(3, 2))
    Linear(in_features=3, out_features=2, bias=True)
    """
    own = CREDIT[rule] if isinstance(rule, str) else rule
    if isinstance(own, Backprop):
        return layer
    if type(layer) not in _CREDITED:
        what = "give an nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d"
        raise UsageError(f"{own.name}: {type(layer).__name__} has no credit rule; {what}")
    weight = cast(Tensor, layer.weight)
    return cast(nn.Module, _CREDITED[type(layer)](layer, Credit(own, weight, seed=seed, **knobs)))


def connect_outputs(model: nn.Module) -> None:
    """Let layers whose rule needs it have the error of the outputs of ``model``; does so once.

    Args:
        model: the module that is called.
    """
    direct = [each for each in model.modules() if isinstance(each, Credited) and each.credit.rule.is_direct]
    if all(each.output_error is not None and each.output_error.model is model for each in direct):
        return
    error = OutputError(model)
    for each in direct:
        each.output_error = error


def _direction(values: Tensor) -> Tensor:
    """Values over their norm; zero where they are all zero, or one is not finite.

    >>> _direction(torch.tensor([3e300, -4e300], dtype=torch.float64)), _direction(torch.zeros(2))
    (tensor([ 0.6000, -0.8000], dtype=torch.float64), tensor([0., 0.]))
    """
    scaled = values / values.abs().amax()  # the square of a large value would be infinite
    direction: Tensor = (scaled / scaled.norm()).nan_to_num()
    return direction


def aligned_layers(model: nn.Module) -> list[Credited]:
    """The layers of ``model`` with backward weights of their own, in the order of definition.

    >>> [len(aligned_layers(credited(rule, nn.Linear(3, 2)))) for rule in ("backprop", "sign_symmetry")]
    [0, 1]
    """
    layers = [each for each in model.modules() if isinstance(each, Credited)]
    return [each for each in layers if has_backward_weights(each.credit.rule)]


def has_backward_weights(rule: CreditRule) -> bool:
    """Whether the backward pass of a layer under a rule goes through weights of its own."""
    return type(rule).backward_weight is not CreditRule.backward_weight


def alignment_angles(model: nn.Module) -> Tensor:
    """The angle between weights and backward weights of each of `aligned_layers`, (layers,), in degrees."""
    return torch.stack([layer.angle() for layer in aligned_layers(model)])


def backward_parameters(model: nn.Module) -> set[str]:
    """The names of the parameters that only backward passes use: no count has them."""
    return {
        f"{name}.{FEEDBACK}".removeprefix(".")
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, Credited)
    }


def uncredited(layer: Credited) -> nn.Module:
    """The plain layer in place of a layer under a credit rule; it has the same parameters, all trained.

    >>> from torch import nn
    >>> layer = nn.Linear(3, 2)
    >>> uncredited(CreditedLinear(layer, Credit(Backprop(), layer.weight)))
    Linear(in_features=3, out_features=2, bias=True)
    """
    kind = next(plain for plain, of_kind in _CREDITED.items() if isinstance(layer, of_kind))
    own, has_bias = cast(Any, layer), layer.bias is not None
    if kind is nn.Linear:
        plain: Any = kind(own.in_features, own.out_features, has_bias, device="meta")
    else:
        plain = kind(
            own.in_channels, own.out_channels, own.kernel_size, own.stride, own.padding, own.dilation,
            own.groups, has_bias, own.padding_mode, device="meta",
        )  # fmt: skip
    plain.weight, plain.bias = layer.weight, layer.bias
    for parameter in plain.parameters():
        parameter.requires_grad_(True)
    return cast(nn.Module, plain.train(layer.training))


def coactivation_sum(layer: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The sum of y_j x_i over rows and positions, of the shape of the layer's weight.

    Args:
        layer: a linear layer or a convolution.
        x: its inputs, (rows, inputs, *positions).
        y: outputs of its shape, (rows, outputs, *positions).
    """
    if isinstance(layer, nn.Linear):
        return y.T @ x
    own: Any = layer
    padding = own.padding
    if isinstance(padding, str) or own.padding_mode != "zeros":
        mode = "constant" if own.padding_mode == "zeros" else own.padding_mode
        x, padding = F.pad(x, own._reversed_padding_repeated_twice, mode), 0
    # the gradient of the weight is the sum over positions of dL/dy_j x_i; here y stands in place of dL/dy
    return _WEIGHT_GRADIENTS[len(own.kernel_size)](
        x, own.weight.shape, y, own.stride, padding, own.dilation, own.groups
    )


_WEIGHT_GRADIENTS: dict[int, Callable[..., Tensor]] = {
    1: conv1d_weight,
    2: conv2d_weight,
    3: conv3d_weight,
}
