"""Optimisers whose hyperparameters differ from net to net of a stack."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from hebbevo.space.knobs import Value
from hebbevo.training import cuda_graphs


class StackedOptimizer(ABC):
    """Updates stacked parameters in place; each net has its own row of hyperparameters, `columns`.

    Args:
        parameters: by name, (n, *shape).
        knobs: one mapping of knob values a net.
    """

    columns: ClassVar[tuple[str, ...]] = ("learning_rate", "weight_decay")

    def __init__(self, parameters: Mapping[str, Tensor], knobs: Sequence[Mapping[str, Value]]) -> None:
        device = next(iter(parameters.values())).device
        self.learning_rate = _column(knobs, "learning_rate", device)
        self.weight_decay = _column(knobs, "weight_decay", device)
        self.moments: dict[str, tuple[Tensor, ...]] = {
            name: self.fresh_moments(value) for name, value in parameters.items()
        }

    @abstractmethod
    def fresh_moments(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """Make the state of one stacked parameter, each entry of its shape."""

    @abstractmethod
    def step(self, parameters: Mapping[str, Tensor], grads: Sequence[Tensor], factor: Tensor) -> None:
        """Update ``parameters`` in place; ``factor``, (n,), scales the learning rates at this step."""

    def keep(self, rows: Tensor) -> None:
        """Go on with the nets at ``rows`` only, (k,) int64."""
        moments = {name: tuple(each[rows] for each in own) for name, own in self.moments.items()}
        vars(self).update(vars(self.of(rows, moments)))

    def of(self, rows: Tensor, moments: dict[str, tuple[Tensor, ...]]) -> Self:
        """The optimiser of the nets at ``rows``, (k,) int64, with ``moments`` of (k, *shape)."""
        own = copy.copy(self)
        for name in self.columns:
            setattr(own, name, getattr(self, name)[rows])
        own.moments = moments
        return own

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The optimiser of the nets of all parts, which have taken the same steps."""
        whole = copy.copy(parts[0])
        for name in cls.columns:
            setattr(whole, name, torch.cat([getattr(part, name) for part in parts]))
        whole.moments = {
            name: tuple(map(torch.cat, zip(*(part.moments[name] for part in parts), strict=True)))
            for name in whole.moments
        }
        return whole


class AdamW(StackedOptimizer):
    """AdamW (Loshchilov & Hutter, 2019, arXiv:1711.05101) with betas (0.9, 0.999) and eps 1e-8."""

    columns = (*StackedOptimizer.columns, "steps")
    beta1, beta2, eps = 0.9, 0.999, 1e-8

    def __init__(self, parameters: Mapping[str, Tensor], knobs: Sequence[Mapping[str, Value]]) -> None:
        super().__init__(parameters, knobs)
        self.steps = torch.zeros_like(self.learning_rate)

    def fresh_moments(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """First and second moment."""
        return torch.zeros_like(parameter), torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, parameters: Mapping[str, Tensor], grads: Sequence[Tensor], factor: Tensor) -> None:
        """Take one step: w <- w (1 - lr wd) - lr m^ / (sqrt(v^) + eps)."""
        self.steps.add_(1)
        weights = [weight.detach() for weight in parameters.values()]
        moments = [self.moments[name] for name in parameters]
        update = self._at_once if cuda_graphs.runs_ahead(factor) else self._by_net
        update(weights, grads, moments, factor)

    def _by_net(
        self,
        weights: Sequence[Tensor],
        grads: Sequence[Tensor],
        moments: Sequence[tuple[Tensor, ...]],
        factor: Tensor,
    ) -> None:
        """Net by net, for PyTorch's fused kernel takes one rate for all.

        It passes once over the memory where separate operations pass seven times; its public front end costs
        as much again as the kernel on nets of this size.
        """
        # the kernel walks through memory and looks at no strides
        grads = [
            grad if grad.stride() == weight.stride() else torch.empty_like(weight).copy_(grad)
            for weight, grad in zip(weights, grads, strict=True)
        ]
        stacks = weights, grads, *zip(*moments, strict=True)
        columns = (self.learning_rate * factor).tolist(), self.weight_decay.tolist(), self.steps.unbind()
        for weight, grad, m, v, rate, decay, step in zip(*map(_nets, stacks), *columns, strict=True):
            torch._fused_adamw_(
                weight, grad, m, v, [], [step] * len(weight),
                lr=rate, beta1=self.beta1, beta2=self.beta2, weight_decay=decay, eps=self.eps,
                amsgrad=False, maximize=False,
            )  # fmt: skip

    def _at_once(
        self,
        weights: Sequence[Tensor],
        grads: Sequence[Tensor],
        moments: Sequence[tuple[Tensor, ...]],
        factor: Tensor,
    ) -> None:
        """All nets by separate operations, none of which needs a number of the host's."""
        rate = self.learning_rate * factor
        shrink = 1 - rate * self.weight_decay
        steps = self.steps.double()  # 1 - 0.999 has few digits left in float32
        size = rate / (1 - self.beta1**steps).to(rate.dtype)
        root = (1 - self.beta2**steps).sqrt().to(rate.dtype)
        for weight, grad, (m, v) in zip(weights, grads, moments, strict=True):
            rows = (-1, *(1,) * (weight.dim() - 1))
            m.lerp_(grad, 1 - self.beta1)
            v.mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)
            update = m / (v.sqrt() / root.view(rows) + self.eps)
            weight.mul_(shrink.view(rows)).addcmul_(update, size.view(rows), value=-1)


class SGD(StackedOptimizer):
    """Stochastic gradient descent with heavy-ball momentum and decoupled weight decay."""

    columns = (*StackedOptimizer.columns, "momentum")

    def __init__(self, parameters: Mapping[str, Tensor], knobs: Sequence[Mapping[str, Value]]) -> None:
        super().__init__(parameters, knobs)
        self.momentum = _column(knobs, "momentum", self.learning_rate.device)

    def fresh_moments(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """Velocity."""
        return (torch.zeros_like(parameter),)

    @torch.no_grad()
    def step(self, parameters: Mapping[str, Tensor], grads: Sequence[Tensor], factor: Tensor) -> None:
        """Take one step: u <- momentum u + g; w <- w (1 - lr wd) - lr u."""
        rate = self.learning_rate * factor
        shrink = 1 - rate * self.weight_decay
        for (name, weight), grad in zip(parameters.items(), grads, strict=True):
            rows = (-1, *(1,) * (weight.dim() - 1))
            (velocity,) = self.moments[name]
            velocity.mul_(self.momentum.view(rows)).add_(grad)
            weight.mul_(shrink.view(rows)).addcmul_(velocity, rate.view(rows), value=-1)


OPTIMIZERS: dict[str, type[StackedOptimizer]] = {"adamw": AdamW, "sgd": SGD}


def _nets(stacks: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Views of stacked tensors, net by net."""
    return list(zip(*(stack.unbind() for stack in stacks), strict=True))


def _column(knobs: Sequence[Mapping[str, Value]], name: str, device: torch.device) -> Tensor:
    return torch.tensor([float(row[name]) for row in knobs], device=device)
