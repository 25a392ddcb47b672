"""Layers under a credit rule: in training mode with a loss, an update or a backward pass of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.grad import conv1d_weight, conv2d_weight, conv3d_weight

from hebbevo.errors import UsageError
from hebbevo.nn import stateless_random, surgery
from hebbevo.nn.plastic import InjectedLoss, Plastic, TensorNamespace
from hebbevo.rules import CREDIT
from hebbevo.rules.credit.backprop import Backprop
from hebbevo.rules.credit.rule import CreditRule, Updates
from hebbevo.space.knobs import Value

WeightLayer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
"""The layers whose weights a rule can mask or train."""


class Credit(Plastic):
    """The knobs and buffers of a credit rule for one layer.

    Args:
        rule: a credit rule.
        weight: of the layer, (outputs, inputs, *kernel).
        seed: of the random numbers; by default drawn from PyTorch's generator.
        knobs: see ``rule.knobs``.

    Raises:
        UsageError: an unknown knob, or a value outside its range.
    """

    rule: CreditRule

    def __init__(self, rule: CreditRule, weight: Tensor, *, seed: int | None = None, **knobs: Value) -> None:
        super().__init__(rule, seed)
        self.configure(**knobs)
        for name, buffer in rule.buffers.items():
            start = self._value(buffer.start) if isinstance(buffer.start, str) else buffer.start
            shape = (len(weight), len(weight)) if buffer.pairs else weight.shape
            self.register_buffer(name, weight.detach().new_full(shape, start))

    def is_event(self, step: Tensor) -> Tensor:
        """Never: nothing is pruned."""
        return step < 0


@dataclass(frozen=True)
class _CreditLayer:
    """A layer in one forward pass: the `hebbevo.rules.credit.rule.CreditLayer` that its rule sees."""

    module: Credited
    weight: Tensor
    bias: Tensor | None

    @property
    def step(self) -> Tensor:
        """Forward steps before this one."""
        return self.module.credit.steps

    @property
    def total(self) -> Tensor:
        """Forward steps of the whole training."""
        return self.module.credit.total_steps

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
        inverse: Tensor = torch.linalg.inv_ex(matrix).inverse
        return inverse @ values

    def coactivation(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean over rows and positions of y_j x_i."""
        layer = cast(WeightLayer, self.module)
        if isinstance(layer, nn.Linear):
            x, y = x.reshape(-1, layer.in_features), y.reshape(-1, layer.out_features)
            return coactivation_sum(layer, x, y) / len(y)
        return coactivation_sum(layer, x, y) * layer.out_channels / y.numel()

    def draw(self, shape: tuple[int, ...], stream: int) -> Tensor:
        """Uniform numbers in (0, 1)."""
        return stateless_random.uniform(self.module.credit.seed, self.step, shape, stream)


class Credited(nn.Module):
    """A layer under a credit rule; in evaluation mode it is the plain layer.

    Attributes:
        credit: the rule, with knobs and buffers.
        masked: whether a connection mask around the layer gives it its weights in a forward pass.
    """

    credit: Credit
    weight: nn.Parameter
    bias: nn.Parameter | None
    masked: bool
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
        if not self.training:
            return self.plain(x, self.weight, self.bias)
        credit = self.credit
        credit.refuse_recomputation()
        credit.refuse_to_train_alone()
        rule, k, s = credit.rule, TensorNamespace(credit._buffers), TensorNamespace(credit._buffers)
        layer = _CreditLayer(self, self.weight, self.bias)
        if rule.updates:  # the weights change below, and the backward pass needs the present ones
            layer = _CreditLayer(self, self.weight.clone(), None if self.bias is None else self.bias.clone())
        y = rule.forward(k, s, layer, x)
        if rule.local:
            loss = rule.local_loss(k, s, layer, x, y)
            y = cast(Tensor, InjectedLoss.apply(y, loss))  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self._pending = rule.update(k, s, layer, x.detach(), y.detach()) if rule.updates else None
            credit.steps.add_(1)
            if not self.masked:  # else ``weight`` is a masked copy, and the mask calls this after the step
                self.apply_updates()
        return y

    def apply_updates(self) -> None:
        """Add the updates of this forward pass to the weights, in place."""
        updates, self._pending = self._pending, None
        if updates is not None:
            surgery.add_updates([(self.weight, updates.weight), (self.bias, updates.bias)])

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The outputs of the plain layer with this weight and bias."""
        raise NotImplementedError

    def _take_parameters(self, layer: WeightLayer, credit: Credit) -> None:
        """Take the parameters of a layer; those that the rule updates have no gradient from now on."""
        self.weight, self.bias = cast(nn.Parameter, layer.weight), cast(nn.Parameter | None, layer.bias)
        self.credit, self.masked = credit, False
        self._pending = None
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
        UsageError: a layer of another kind, an unknown knob, or a value outside its range.

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
