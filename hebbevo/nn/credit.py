"""Layers under a credit rule: a loss, an update or a backward pass of their own, in training mode only."""

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
from hebbevo.nn.plastic import InjectedLoss, Named, Plastic
from hebbevo.rules import CREDIT
from hebbevo.rules.credit.backprop import Backprop
from hebbevo.rules.credit.rule import CreditRule, Updates
from hebbevo.space.knobs import Value

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


class Credit(Plastic):
    """The knobs and buffers of a credit rule for one layer.

    Args:
        rule: a credit rule.
        weight: of the layer.
        seed: of the random events; by default drawn from PyTorch's generator.
        knobs: see ``rule.knobs``.
    """

    rule: CreditRule

    def __init__(self, rule: CreditRule, weight: Tensor, *, seed: int | None = None, **knobs: Value) -> None:
        super().__init__(rule, seed)
        self.configure(**knobs)
        for name, buffer in rule.buffers.items():
            start = self._value(buffer.start) if isinstance(buffer.start, str) else buffer.start
            self.register_buffer(name, torch.full_like(weight.detach(), start))

    def due(self, step: Tensor) -> Tensor:
        """Nothing is ever pruned."""
        return step < 0


@dataclass(frozen=True)
class _Pass:
    """A layer in one forward pass, as its rule sees it (`hebbevo.rules.credit.rule.Layer`)."""

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
        """What the layer computes with such weights."""
        return self.module.plain(x, weight, bias)

    def coactivation(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean over rows and positions of y_j x_i."""
        layer = cast(Layer, self.module)
        if isinstance(layer, nn.Linear):
            x, y = x.reshape(-1, layer.in_features), y.reshape(-1, layer.out_features)
            return product(layer, x, y) / len(y)
        return product(layer, x, y) * layer.out_channels / y.numel()

    def draw(self, shape: tuple[int, ...], stream: int) -> Tensor:
        """Uniform numbers in (0, 1)."""
        return stateless_random.uniform(self.module.credit.seed, self.step, shape, stream)


class Credited(nn.Module):
    """What a layer under a credit rule does in a forward pass; in evaluation mode it is the plain layer.

    Attributes:
        credit: the rule, with knobs and buffers.
        masked: whether a connection mask around it gives it its weights.
    """

    credit: Credit
    weight: nn.Parameter
    bias: nn.Parameter | None
    masked: bool
    _pending: Updates | None

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs to outputs; in training mode as the rule does."""
        if not self.training:
            return self.plain(x, self.weight, self.bias)
        credit = self.credit
        credit._refuse_recomputation()
        credit._refuse_alone()
        rule, k, s = credit.rule, Named(credit._buffers), Named(credit._buffers)
        layer = _Pass(self, self.weight, self.bias)
        if rule.updates:  # the backward pass needs the weights of now
            layer = _Pass(self, self.weight.clone(), None if self.bias is None else self.bias.clone())
        y = rule.forward(k, s, layer, x)
        if rule.local:
            loss = rule.local_loss(k, s, layer, x, y)
            y = cast(Tensor, InjectedLoss.apply(y, loss))  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self._pending = rule.update(k, s, layer, x.detach(), y.detach()) if rule.updates else None
            credit.steps.add_(1)
            if not self.masked:
                self.move()
        return y

    def move(self) -> None:
        """Add the update of this forward pass to the weights."""
        updates, self._pending = self._pending, None
        if updates is not None:
            surgery.update([(self.weight, updates.weight), (self.bias, updates.bias)])

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What the layer computes with such weights."""
        raise NotImplementedError

    def _take(self, layer: Layer, credit: Credit) -> None:
        """Take the parameters of a layer; those that the rule moves are none of an optimiser's."""
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
        self._take(layer, credit)

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A linear layer."""
        return F.linear(x, weight, bias)


def _convolution(kind: type[Any]) -> type[Any]:
    """A convolution of some dimension under a credit rule."""

    class CreditedConv(Credited, kind):  # type: ignore[misc]
        def __init__(self, layer: Any, credit: Credit) -> None:
            kind.__init__(
                self, layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
                layer.dilation, layer.groups, layer.bias is not None, layer.padding_mode, device="meta",
            )  # fmt: skip
            self._take(layer, credit)

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
    """Put a linear layer or a convolution under a credit rule; under backpropagation, the layer itself.

    Args:
        rule: a name in `hebbevo.rules.CREDIT`, or a rule.
        layer: its parameters become those of the layer that is returned.
        seed: of the random events.
        knobs: of the rule.

    Raises:
        UsageError: a layer of another kind, an unknown knob, or a value outside its range.
    """
    own = CREDIT[rule] if isinstance(rule, str) else rule
    if isinstance(own, Backprop):
        return layer
    if type(layer) not in _CREDITED:
        what = "give an nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d"
        raise UsageError(f"{own.name}: {type(layer).__name__} has no credit rule; {what}")
    weight = cast(Tensor, layer.weight)
    return cast(nn.Module, _CREDITED[type(layer)](layer, Credit(own, weight, seed=seed, **knobs)))


def product(layer: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The sum of y_j x_i over rows and positions, of the shape of the layer's weight."""
    if isinstance(layer, nn.Linear):
        return y.T @ x
    own: Any = layer
    padding = own.padding
    if isinstance(padding, str) or own.padding_mode != "zeros":
        mode = "constant" if own.padding_mode == "zeros" else own.padding_mode
        x, padding = F.pad(x, own._reversed_padding_repeated_twice, mode), 0
    # the sum over positions of what y has to do with x is what the gradient of the weight would be
    return _WEIGHT_GRADIENTS[len(own.kernel_size)](
        x, own.weight.shape, y, own.stride, padding, own.dilation, own.groups
    )


_WEIGHT_GRADIENTS: dict[int, Callable[..., Tensor]] = {
    1: conv1d_weight,
    2: conv2d_weight,
    3: conv3d_weight,
}
