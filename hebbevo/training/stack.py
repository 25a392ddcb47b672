"""Many networks of one structure as one stack of tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import stack_module_state, vmap


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
        self._skeleton = copy.deepcopy(nets[0]).to("meta")
        # where a net keeps each tensor: `functional_call` would look all of them up again at every call
        self._places = [
            (getattr(self._skeleton.get_submodule(module), store), key)
            for store, names in (("_parameters", self.parameters), ("_buffers", self.buffers))
            for module, _, key in (name.rpartition(".") for name in names)
        ]

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
        if self._skeleton.training is not training:
            self._skeleton.train(training)

        def one(state: list[Tensor], *args: Any) -> Any:
            for (store, key), tensor in zip(self._places, state, strict=True):
                store[key] = tensor
            return function(self._skeleton, *args)

        in_dims = (0, *(0 if stacked else None for _ in args))
        return vmap(one, in_dims=in_dims)([*self.parameters.values(), *self.buffers.values()], *args)

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
