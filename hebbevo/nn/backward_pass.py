"""Layers whose backward pass goes through other weights, and outputs whose error goes to inputs directly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.rules.credit.reward_modulated import reward_surprise

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}


def through(layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None, backward: Tensor,
            tied: Tensor | None = None) -> Tensor:  # fmt: skip
    """The outputs of a layer, with a backward pass through other weights.

    With the gradient g of the outputs, that of x is what the layer's plain backward pass would make of g with
    ``backward`` in place of its weights. Weight and bias have their own gradients.

    Args:
        layer: a linear layer or a convolution.
        x: inputs, (rows, inputs, *positions).
        weight: (outputs, inputs, *kernel).
        bias: (outputs,), or ``None``.
        backward: of the shape of the weight; has no gradient.
        tied: of the shape of the weight; has the gradient of the weight.

    >>> x = torch.ones(1, 2, requires_grad=True)
    >>> y = through(nn.Linear(2, 1), x, torch.zeros(1, 2), None, torch.tensor([[3.0, 4.0]]))
    >>> y.backward(torch.ones(1, 1))
    >>> x.grad
    tensor([[3., 4.]])
    """
    x, shape, alone = _laid_out(layer, x)
    y = cast(Tensor, _Through.apply(x, weight, bias, backward.detach(), tied, shape))  # type: ignore[no-untyped-call]
    return y.squeeze(0) if alone else y


def transposed(layer: nn.Module, y: Tensor, weight: Tensor, x: Tensor) -> Tensor:
    """What the plain backward pass of a layer with this weight sends to x for a gradient y of its outputs.

    >>> transposed(nn.Linear(2, 1), torch.ones(1, 1), torch.tensor([[3.0, 4.0]]), torch.ones(1, 2))
    tensor([[3., 4.]])
    """
    if isinstance(layer, nn.Linear):
        return y @ weight
    _, shape, alone = _laid_out(layer, x)
    if shape.padded is None:
        rows = (y.unsqueeze(0), x.unsqueeze(0)) if alone else (y, x)
        back = _convolution_gradients(*rows, weight, shape, (True, False, False))[0]
        return back.squeeze(0) if alone else back
    # the padding sends back to x by PyTorch's own rule; this one can be stacked
    padded, of_padding, *_ = cast(Any, torch.func.vjp(lambda inputs: _laid_out(layer, inputs)[0], x))
    outputs = y.unsqueeze(0) if alone else y
    found = _convolution_gradients(outputs, padded, weight, shape, (True, False, False))[0]
    return cast(Tensor, of_padding(found)[0])


@dataclass(frozen=True)
class _Shape:
    """How a layer reads its inputs; a linear layer has no stride.

    Attributes:
        stride: of a convolution. padding: likewise. dilation: likewise. groups: likewise.
        padded: the mode in which inputs were padded before; ``None``: they were not.
    """

    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    padded: str | None = None


def _laid_out(layer: nn.Module, x: Tensor) -> tuple[Tensor, _Shape, bool]:
    """Inputs in rows, padded where a convolution cannot do it itself; the shape; whether x was one row."""
    if isinstance(layer, nn.Linear):
        return x, _Shape(), False
    own = cast(Any, layer)
    alone = x.dim() < own.weight.dim()
    x = x.unsqueeze(0) if alone else x
    if isinstance(own.padding, str) or own.padding_mode != "zeros":
        mode = "constant" if own.padding_mode == "zeros" else own.padding_mode
        sides = own._reversed_padding_repeated_twice
        none = (0,) * len(own.stride)
        return F.pad(x, sides, mode), _Shape(own.stride, none, own.dilation, own.groups, mode), alone
    return x, _Shape(own.stride, own.padding, own.dilation, own.groups), alone


class _Through(torch.autograd.Function):
    """See `through`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, backward: Tensor, tied: Tensor | None, shape: _Shape
    ) -> Tensor:
        if not shape.stride:
            return F.linear(x, weight, bias)
        convolve = _CONVOLUTIONS[weight.dim()]
        return convolve(x, weight, bias, shape.stride, shape.padding, shape.dilation, shape.groups)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: object) -> None:
        x, _, bias, backward, tied, ctx.shape = inputs
        ctx.has_bias, ctx.has_tied = bias is not None, tied is not None
        # the weights are not kept: a rule may change them before the backward pass
        ctx.save_for_backward(x, backward)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, backward = ctx.saved_tensors
        # under autocast the outputs are less precise than the inputs
        dtype, low = x.dtype, gradient.dtype
        x, backward = x.to(low), backward.to(low)
        of_x, of_weight, of_bias = _gradients(gradient, x, backward, ctx.shape, ctx.needs_input_grad[0])
        of_x = None if of_x is None else of_x.to(dtype)
        of_weight = of_weight.to(dtype)
        own = of_bias.to(dtype) if ctx.has_bias else None
        return of_x, of_weight, own, None, of_weight if ctx.has_tied else None, None


def _gradients(
    gradient: Tensor, x: Tensor, backward: Tensor, shape: _Shape, wanted: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    """The gradients of inputs, where they are wanted, of the weight and of the bias."""
    if shape.stride:
        of_x, of_weight, of_bias = _convolution_gradients(gradient, x, backward, shape, (wanted, True, True))
        return (of_x if wanted else None), of_weight, of_bias
    rows = gradient.reshape(-1, gradient.shape[-1])
    return (gradient @ backward) if wanted else None, rows.mT @ x.reshape(-1, x.shape[-1]), rows.sum(0)


def _convolution_gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, shape: _Shape, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of inputs, weight and bias of a convolution; that of the weight does not depend on it."""
    outputs, none = [weight.shape[0]], [0] * len(shape.stride)
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, x, weight, outputs, shape.stride, shape.padding, shape.dilation, False, none,
        shape.groups, wanted,
    )  # fmt: skip
    return found


class OutputError:
    """Leads the error of a model's outputs, or a reward made of it, to some of its layers, in training mode.

    Args:
        model: the module that is called; its output is one tensor, (rows, *shape).
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        # the inputs of layers in the present forward pass, and what draws their weights for so many outputs
        self._read: list[tuple[Tensor, Callable[[int], Tensor]]] | None = None
        # outputs of layers that learn by reward, and their eligibilities
        self._rewarded: list[tuple[Tensor, Tensor]] = []
        model.register_forward_pre_hook(self.begin)
        model.register_forward_hook(self.join)

    def __repr__(self) -> str:
        return type(self).__name__

    def read(self, x: Tensor, draw: Callable[[int], Tensor]) -> None:
        """Note inputs of a layer, (rows, *shape), and what draws their weights, (outputs, inputs).

        Raises:
            UsageError: the layer is called, and not the model.
        """
        self._check_runs("direct_feedback_alignment").append((x, draw))

    def read_reward(self, y: Tensor, eligibility: Tensor) -> None:
        """Note outputs of a layer, (rows, *shape), that learn by reward, and how each was drawn.

        Raises:
            UsageError: the layer is called, and not the model.
        """
        self._check_runs("reward_modulated")
        self._rewarded.append((y, eligibility))

    def _check_runs(self, rule: str) -> list[tuple[Tensor, Callable[[int], Tensor]]]:
        if self._read is None:
            what = f"a layer under {rule} is called by itself"
            raise UsageError(f"{what}; call the whole model that was attached")
        return self._read

    def begin(self, *call: object) -> None:
        """Before a forward pass of the model."""
        self._read, self._rewarded = [], []

    def join(self, model: nn.Module, inputs: object, output: object) -> Tensor | None:
        """After a forward pass of the model: connect its output and the inputs that were noted.

        Raises:
            UsageError: the output is no tensor, or has other rows than inputs of a layer.
        """
        read, self._read = self._read or [], None
        rewarded, self._rewarded = self._rewarded, []
        if not read and not rewarded:
            return None
        rule = "direct_feedback_alignment" if read else "reward_modulated"
        if not isinstance(output, Tensor):
            what = f"the output of the model is of type {type(output).__name__}"
            raise UsageError(f"{rule}: {what}; return one tensor of (rows, outputs)")
        size = output[0].numel() if len(output) else 0
        inputs = [x for x, _ in read]
        if any(len(each) != len(output) for each, _ in (*read, *rewarded)):
            what = (
                f"{'inputs' if read else 'outputs'} of a layer have other rows than the output of the model"
            )
            raise UsageError(f"{rule}: {what}; leave that layer to another rule")
        if rewarded:
            outputs, eligibilities = zip(*rewarded, strict=True)
            number = len(outputs)
            output = _by_reward(output, number, *outputs, *eligibilities)
        if not read:
            return output
        with torch.no_grad():
            weights = [draw(size).to(x.dtype) for x, draw in read]
        return cast(Tensor, _ToInputs.apply(output, len(inputs), *inputs, *weights))  # type: ignore[no-untyped-call]


class _ToInputs(torch.autograd.Function):
    """Identity on an output; the backward pass sends its gradient to inputs through weights of theirs."""

    generate_vmap_rule = True

    @staticmethod
    def forward(output: Tensor, number: int, *inputs_and_weights: Tensor) -> Tensor:
        return output.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: object) -> None:
        _, number, *both = inputs
        ctx.shapes = [x.shape[1:] for x in both[:number]]
        ctx.save_for_backward(*both[number:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weights = ctx.saved_tensors
        rows = gradient.flatten(1)
        sent = [
            (rows.to(weight.dtype) @ weight).unflatten(1, shape) if needed else None
            for weight, shape, needed in zip(weights, ctx.shapes, ctx.needs_input_grad[2:], strict=False)
        ]
        return gradient, None, *sent, *(None for _ in weights)


def _by_reward(*arguments: Any) -> Tensor:
    """Apply `_ByReward` outside of compiled code, in which PyTorch 2.13 gives it wrong gradients."""
    apply: Callable[..., Tensor] = _ByReward.apply
    if torch.compiler.is_compiling():
        apply = torch.compiler.disable(apply)  # type: ignore[no-untyped-call]
    return apply(*arguments)


class _ByReward(torch.autograd.Function):
    """Identity on an output; its gradient is made a reward, by which outputs of layers learn."""

    generate_vmap_rule = True

    @staticmethod
    def forward(output: Tensor, number: int, *outputs_and_eligibilities: Tensor) -> Tensor:
        return output.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: object) -> None:
        _, number, *both = inputs
        ctx.dtypes = [y.dtype for y in both[:number]]
        ctx.save_for_backward(*both[number:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        surprise = reward_surprise(gradient.flatten(1))
        sent = [
            (-surprise.reshape(-1, *(1,) * (own.dim() - 1)) * own / len(own)).to(dtype)
            for own, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return gradient, None, *sent, *(None for _ in sent)
