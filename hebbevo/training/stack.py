"""Many networks of one structure as one stack of tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap


class _Applied(nn.Module):
    """``function(net, *args)`` as a module, so that `functional_call` can swap the net's state."""

    def __init__(self, net: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.net = net
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(self.net, *args)


class Stack:
    """``size`` networks of one structure, trained together.

    Attributes:
        parameters: by dotted name, (size, *shape) leaves that require gradients.
        buffers: by dotted name, (size, *shape).
    """

    def __init__(self, nets: Sequence[nn.Module], device: torch.device) -> None:
        parameters, buffers = stack_module_state(list(nets))
        self.parameters = {
            name: _like_its_gradient(value.detach().to(device)).requires_grad_()
            for name, value in parameters.items()
        }
        self.buffers = {name: value.to(device) for name, value in buffers.items()}
        self.skeleton = copy.deepcopy(nets[0]).to("meta")

    @property
    def size(self) -> int:
        """Number of networks."""
        return len(next(iter(self.parameters.values())))

    def call(
        self, function: Callable[..., Any], *args: Any, stacked: bool = False, training: bool = False
    ) -> Any:
        """Evaluate ``function(net, *args)`` for every net; results are stacked along a new first axis.

        Args:
            function: written for one net; may change the net's tensors, and stacked args, in place.
            args: the same for every net, or, if ``stacked``, with a first axis of ``size``.
            stacked: whether the args are stacked.
            training: whether the net is in training mode.
        """
        applied = _Applied(self.skeleton, function).train(training)

        def one(state: dict[str, Tensor], *args: Any) -> Any:
            return functional_call(applied, state, args)

        state = {f"net.{name}": value for name, value in (self.parameters | self.buffers).items()}
        in_dims = (0, *(0 if stacked else None for _ in args))
        return vmap(one, in_dims=in_dims)(state, *args)

    def keep(self, rows: Tensor) -> None:
        """Go on with the nets at ``rows`` only, (k,) int64."""
        self.parameters = {
            name: _like_its_gradient(value.detach()[rows]).requires_grad_()
            for name, value in self.parameters.items()
        }
        self.buffers = {name: value[rows] for name, value in self.buffers.items()}


def _like_its_gradient(weight: Tensor) -> Tensor:
    """Lay stacked matrices out column by column, as the gradient of a stacked linear layer comes out."""
    return weight.mT.contiguous().mT if weight.dim() == 3 else weight


def structure(net: nn.Module) -> tuple[object, ...]:
    """Everything of ``net`` that stacking takes from the first net only: nets may be stacked iff it is equal.

    That is the classes, the public plain attributes and the shapes, module by module.
    """
    return tuple(
        (
            name,
            type(module),
            tuple(
                (key, repr(value.tolist() if isinstance(value, Tensor) else value))
                for key, value in sorted(vars(module).items())
                if not key.startswith("_") and key != "training"
            ),
            tuple((key, value.shape, value.dtype) for key, value in module.named_parameters(recurse=False)),
            tuple((key, value.shape, value.dtype) for key, value in module.named_buffers(recurse=False)),
        )
        for name, module in net.named_modules()
    )
