"""Optimisers for stacks, in which every net has its own hyperparameters."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self, cast

import torch
from torch import Tensor

from hebbevo.nn import plastic
from hebbevo.space.knobs import Scalar, Value


class StackedOptimizer(ABC):
    """Updates stacked parameters in place.

    Attributes:
        columns: names of the attributes of shape (n,), one number for each net.
        learning_rate: step sizes, (n,).
        weight_decay: decoupled weight decay, (n,).
        undecayed: names of the parameters without weight decay; the owner may set them.
        moments: optimiser state of each parameter by name, each entry of the parameter's shape.

    Args:
        parameters: stacked parameters of n nets by name, (n, *shape).
        knobs: values of the training's knobs, one mapping for each net.
    """

    columns: ClassVar[tuple[str, ...]] = ("learning_rate", "weight_decay")
    undecayed: frozenset[str] = frozenset()

    def __init__(self, parameters: Mapping[str, Tensor], knobs: Sequence[Mapping[str, Value]]) -> None:
        device = next(iter(parameters.values())).device
        self.learning_rate = _column(knobs, "learning_rate", device)
        self.weight_decay = _column(knobs, "weight_decay", device)
        self.moments: dict[str, tuple[Tensor, ...]] = {
            name: self.fresh_moments(value) for name, value in parameters.items()
        }

    @abstractmethod
    def fresh_moments(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """Make the initial state of one stacked parameter, each entry of its shape."""

    @abstractmethod
    def step(self, parameters: Mapping[str, Tensor], grads: Sequence[Tensor], factor: Tensor) -> None:
        """Take one step.

        Args:
            parameters: stacked parameters by name, (n, *shape), updated in place.
            grads: gradients in the order of ``parameters``.
            factor: factors of the learning rates at this step, (n,).
        """

    def shrink(self, name: str, rate: Tensor, weight: Tensor) -> Tensor:
        """The factor by which a parameter decays at a step, 1 - lr wd, (n, 1, ..., 1) along ``weight``."""
        decay = torch.zeros_like(self.weight_decay) if name in self.undecayed else self.weight_decay
        return (1 - rate * decay).view(-1, *(1,) * (weight.dim() - 1))

    def keep(self, rows: Tensor) -> None:
        """Drop all nets but those at ``rows``, (k,) int64."""
        moments = {name: tuple(each[rows] for each in own) for name, own in self.moments.items()}
        vars(self).update(vars(self.of(rows, moments)))

    def of(self, rows: Tensor, moments: dict[str, tuple[Tensor, ...]]) -> Self:
        """Make the optimiser of the nets at ``rows``, (k,) int64, with ``moments`` of shape (k, *shape)."""
        own = copy.copy(self)
        for name in self.columns:
            setattr(own, name, getattr(self, name)[rows])
        own.moments = moments
        return own

    @classmethod
    def joined(cls, optimizers: Sequence[Self]) -> Self:
        """Make one optimiser of several that have taken the same number of steps."""
        joined = copy.copy(optimizers[0])
        for name in cls.columns:
            setattr(joined, name, torch.cat([getattr(each, name) for each in optimizers]))
        joined.moments = {
            name: tuple(map(torch.cat, zip(*(each.moments[name] for each in optimizers), strict=True)))
            for name in joined.moments
        }
        return joined


class AdamW(StackedOptimizer):
    """AdamW (Loshchilov & Hutter, 2019, arXiv:1711.05101, algorithm 2) with betas (0.9, 0.999), eps 1e-8.

    Weight decay is multiplied by the learning rate, as in PyTorch.
    """

    columns = (*StackedOptimizer.columns, "steps")
    beta1, beta2, eps = 0.9, 0.999, 1e-8

    def __init__(self, parameters: Mapping[str, Tensor], knobs: Sequence[Mapping[str, Value]]) -> None:
        super().__init__(parameters, knobs)
        self.steps = torch.zeros_like(self.learning_rate)

    def fresh_moments(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """First and second moment, m and v."""
        return torch.zeros_like(parameter), torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, parameters: Mapping[str, Tensor], grads: Sequence[Tensor], factor: Tensor) -> None:
        """Take one step, w <- w (1 - lr wd) - lr m^ / (sqrt(v^) + eps); see `StackedOptimizer.step`.

        On a CPU, PyTorch's fused kernel updates one net after the other, since it takes a single learning
        rate. It passes over the memory once, where separate operations pass seven times.
        """
        self.steps.add_(1)
        if plastic.runs_ahead(factor):
            self._step_all_nets(parameters, grads, factor)
            return
        own_grads = dict(zip(parameters, grads, strict=True))
        for decays in (True, False):
            names = [name for name in parameters if (name not in self.undecayed) is decays]
            if names:
                self._step_fused(
                    {name: (parameters[name], own_grads[name]) for name in names}, factor, decays
                )

    def _step_fused(
        self, parameters: Mapping[str, tuple[Tensor, Tensor]], factor: Tensor, decays: bool
    ) -> None:
        """Update parameters, with their gradients by name, one net after the other by PyTorch's kernel."""
        weights, grads = ([*each] for each in zip(*parameters.values(), strict=True))
        weights = [weight.detach() for weight in weights]
        # the kernel ignores strides, so a gradient must be laid out in memory like its weight
        grads = [
            grad if grad.stride() == weight.stride() else torch.empty_like(weight).copy_(grad)
            for weight, grad in zip(weights, grads, strict=True)
        ]
        stacks = weights, grads, *zip(*(self.moments[name] for name in parameters), strict=True)
        decay = (self.weight_decay * decays).tolist()
        columns = (self.learning_rate * factor).tolist(), decay, self.steps.unbind()
        for weight, grad, m, v, rate, decay, step in zip(*map(_by_net, stacks), *columns, strict=True):
            # the public torch.optim.AdamW costs as much again as this kernel on small nets
            torch._fused_adamw_(
                weight, grad, m, v, [], [step] * len(weight),
                lr=rate, beta1=self.beta1, beta2=self.beta2, weight_decay=decay, eps=self.eps,
                amsgrad=False, maximize=False,
            )  # fmt: skip

    def _step_all_nets(
        self, parameters: Mapping[str, Tensor], grads: Sequence[Tensor], factor: Tensor
    ) -> None:
        """Update all nets at once by operations that read no number on the host, as a CUDA graph needs."""
        rate = self.learning_rate * factor
        steps = self.steps.double()  # in float32, 1 - 0.999 has few digits left
        # lr m^ / (sqrt(v^) + eps) with m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t), lines 9 and 10
        size = rate / (1 - self.beta1**steps).to(rate.dtype)
        root = (1 - self.beta2**steps).sqrt().to(rate.dtype)
        for (name, parameter), grad in zip(parameters.items(), grads, strict=True):
            weight, (m, v) = parameter.detach(), self.moments[name]
            rows = (-1, *(1,) * (weight.dim() - 1))
            m.lerp_(grad, 1 - self.beta1)  # m <- beta1 m + (1 - beta1) g, line 7
            v.mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)  # line 8
            update = m / (v.sqrt() / root.view(rows) + self.eps)
            weight.mul_(self.shrink(name, rate, weight))
            weight.addcmul_(update, size.view(rows), value=-1)  # line 12


class OwnStepsAdamW(AdamW):
    """AdamW that counts the steps of each weight from when the weight was drawn.

    A regrown weight has moments of zero. With the bias corrections of a long training they would move it 3
    to 6 times as far in each of its first hundred steps as in a fresh training. So each weight has its own
    corrections, which are set to zero with the moments and then grow anew:

        c = 1 - beta^t, or c <- beta c + (1 - beta)    (1)

    This is the moment that a gradient of one at every step would have.
    """

    def fresh_moments(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """First and second moment, m and v, and the bias correction of each."""
        return *super().fresh_moments(parameter), *super().fresh_moments(parameter)

    @torch.no_grad()
    def step(self, parameters: Mapping[str, Tensor], grads: Sequence[Tensor], factor: Tensor) -> None:
        """Take one step, w <- w (1 - lr wd) - lr m^ / (sqrt(v^) + eps); see `StackedOptimizer.step`."""
        rate = self.learning_rate * factor
        for (name, parameter), grad in zip(parameters.items(), grads, strict=True):
            weight, (m, v, of_m, of_v) = parameter.detach(), self.moments[name]
            rows = (-1, *(1,) * (weight.dim() - 1))
            m.lerp_(grad, 1 - self.beta1)
            v.mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)
            of_m.mul_(self.beta1).add_(1 - self.beta1)  # eq. 1
            of_v.mul_(self.beta2).add_(1 - self.beta2)
            size = (v / of_v).sqrt_().add_(self.eps).mul_(of_m)
            weight.mul_(self.shrink(name, rate, weight)).sub_((m / size).mul_(rate.view(rows)))


class SGD(StackedOptimizer):
    """Stochastic gradient descent with heavy-ball momentum and decoupled weight decay."""

    columns = (*StackedOptimizer.columns, "momentum")

    def __init__(self, parameters: Mapping[str, Tensor], knobs: Sequence[Mapping[str, Value]]) -> None:
        super().__init__(parameters, knobs)
        self.momentum = _column(knobs, "momentum", self.learning_rate.device)

    def fresh_moments(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """The velocity u."""
        return (torch.zeros_like(parameter),)

    @torch.no_grad()
    def step(self, parameters: Mapping[str, Tensor], grads: Sequence[Tensor], factor: Tensor) -> None:
        """Take one step, u <- momentum u + g and w <- w (1 - lr wd) - lr u; see `StackedOptimizer.step`."""
        rate = self.learning_rate * factor
        for (name, weight), grad in zip(parameters.items(), grads, strict=True):
            rows = (-1, *(1,) * (weight.dim() - 1))
            (velocity,) = self.moments[name]
            velocity.mul_(self.momentum.view(rows)).add_(grad)
            weight.mul_(self.shrink(name, rate, weight)).addcmul_(velocity, rate.view(rows), value=-1)


OPTIMIZERS: dict[str, type[StackedOptimizer]] = {"adamw": AdamW, "sgd": SGD}
"""Optimisers by the value of the knob ``optimizer``."""
OWN_STEPS: dict[str, type[StackedOptimizer]] = {**OPTIMIZERS, "adamw": OwnStepsAdamW}
"""The same for networks with a rule that needs `hebbevo.rules.rule.Need.OWN_STEPS`."""


def _by_net(stacks: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Views of stacked tensors, one tuple for each net."""
    return list(zip(*(stack.unbind() for stack in stacks), strict=True))


def _column(knobs: Sequence[Mapping[str, Value]], name: str, device: torch.device) -> Tensor:
    """The values of one knob, (n,)."""
    return torch.tensor([float(cast(Scalar, row[name])) for row in knobs], device=device)
