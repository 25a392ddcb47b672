"""The seam of plastic modules: what a rule must be so that the engine can stack and train it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Neighbourhood:
    """The layers around a plastic module's N neurons, for one net; changed in place.

    Attributes:
        out_weight: (outputs, N) weights of the layer that listens to the neurons.
        out_bias: (outputs,) its bias, or ``None``.
        in_weight: (N, inputs) weights of the layer that feeds the neurons, or ``None`` for input units.
        in_bias: (N,) its bias, or ``None``.
        loss: scalar, running mean of the training loss, or ``None`` where nobody observes it.
        in_moments: optimiser state of the same shapes as ``in_weight`` or ``in_bias``, neurons first.
        out_moments: optimiser state of the same shape as ``out_weight``, neurons last.
    """

    out_weight: Tensor
    out_bias: Tensor | None
    in_weight: Tensor | None
    in_bias: Tensor | None
    loss: Tensor | None = None
    in_moments: tuple[Tensor, ...] = field(default=())
    out_moments: tuple[Tensor, ...] = field(default=())


class Plastic(nn.Module, ABC):
    """A module whose neurons die and return.

    Hyperparameters and state are tensor buffers, updated in place, so that many nets can be stacked.
    ``forward`` gathers statistics in training mode only. After the backward pass and the optimiser's step
    whoever trains calls `restructure` with the neighbourhood, at least when it is `due`.
    """

    alive: Tensor  # (num_neurons,) bool

    steps: Tensor  # () int64, forward steps in training mode so far

    @abstractmethod
    def due(self, step: Tensor) -> Tensor:
        """Tell whether `restructure` has something to do after forward step ``step`` (1 is the first)."""

    @abstractmethod
    def connect(self, around: Neighbourhood, total_steps: int) -> None:
        """Take a first look at the neighbourhood, before the first of ``total_steps`` (0: not known)."""

    @abstractmethod
    def restructure(self, around: Neighbourhood) -> None:
        """Let neurons die and return, in place, if this is due at the present step."""


def plastic_modules(model: nn.Module) -> dict[str, Plastic]:
    """Find every plastic module in ``model``, by its dotted name, in the order of definition."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Plastic)}


class InjectedLoss(torch.autograd.Function):
    """Identity on ``output`` whose backward pass adds the gradient of a loss that nobody has to sum up."""

    generate_vmap_rule = True

    @staticmethod
    def forward(output: Tensor, loss: Tensor) -> Tensor:
        """Return ``output`` unchanged; ``loss`` is a scalar."""
        return output.clone()

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: object, output: object) -> None:
        """Nothing to keep: both gradients are known in advance."""

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Pass the gradient on, and give the loss a gradient of one."""
        return grad, grad.new_ones(())
