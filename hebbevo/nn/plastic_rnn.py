"""A recurrent cell whose connections change while it runs, by a rule whose strengths are learned."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError

TraceRule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""A function (trace, rate, before, after) -> the next trace; traces are (rows, size, size)."""

_INITIAL = 0.01  # standard deviation of the initial weights, as published


def hebb(trace: Tensor, rate: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Hebb's rule with decay: (1 - eta) H + eta before after^T.

    >>> hebb(torch.zeros(1, 1, 1), torch.tensor(0.5), torch.ones(1, 1), torch.ones(1, 1)).item()
    0.5
    """
    return (1 - rate) * trace + rate * before.unsqueeze(2) * after.unsqueeze(1)


def oja(trace: Tensor, rate: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Oja's rule: H + eta after (before - after H); traces stay bounded without decay.

    >>> oja(torch.ones(1, 1, 1), torch.tensor(0.5), torch.ones(1, 1), torch.ones(1, 1)).item()
    1.0
    """
    after = after.unsqueeze(1)
    return trace + rate * after * (before.unsqueeze(2) - after * trace)


class PlasticRNNCell(nn.Module):
    """A fully connected recurrent cell with differentiable plasticity (Miconi, Stanley and Clune, 2018).

    With the state y and the trace H, which starts at zero in each episode,

        y' = tanh(y (w + alpha H) + gain x),  H' = rule(H, eta, y, y')

    where w, alpha (elementwise) and eta are learned by backpropagation through the episode
    (arXiv:1804.02464). With ``alpha`` fixed at zero it is an ordinary recurrent cell.

    Shapes: inputs and states are (rows, size), traces (rows, size, size).

    Args:
        size: number of neurons, each of which has one input.
        rule: `hebb`, `oja`, or a function of the user's own; see `TraceRule`.
        eta: rate of the trace at the start of training, 0 to 1.
        gain: factor of the inputs.

    Raises:
        UsageError: ``size`` or ``eta`` is outside its range, or ``rule`` is no function.

    >>> cell = PlasticRNNCell(4, rule=oja)
    >>> state = cell.start(2)
    >>> for _ in range(3):
    ...     state = cell(torch.ones(2, 4), state)
    >>> y, trace = state
    >>> y.shape, trace.shape
    (torch.Size([2, 4]), torch.Size([2, 4, 4]))
    """

    def __init__(self, size: int, rule: TraceRule = hebb, eta: float = 0.01, gain: float = 20.0) -> None:
        super().__init__()
        if size < 1:
            raise UsageError(f"PlasticRNNCell: size: {size} is no number of neurons; write 1 or more")
        if not 0 <= eta <= 1:
            raise UsageError(f"PlasticRNNCell: eta: {eta} is outside its range; write a number from 0 to 1")
        if not callable(rule):
            raise UsageError(f"PlasticRNNCell: rule: {rule!r} is no function; give hebb, oja or your own")
        self.size, self.rule, self.gain = size, rule, gain
        self.weight = nn.Parameter(_INITIAL * torch.randn(size, size))
        self.alpha = nn.Parameter(_INITIAL * torch.randn(size, size))
        self.eta = nn.Parameter(torch.tensor(float(eta)))

    def start(self, rows: int) -> tuple[Tensor, Tensor]:
        """The state and the trace at the start of an episode: zeros.

        Args:
            rows: number of episodes that run at once.
        """
        zeros = self.weight.new_zeros
        return zeros(rows, self.size), zeros(rows, self.size, self.size)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Take one step.

        Args:
            x: inputs, (rows, size).
            state: what `start` or the last step returned.

        Returns:
            The next state, and the next trace.
        """
        before, trace = state
        recurrent = (before.unsqueeze(1) @ (self.weight + self.alpha * trace)).squeeze(1)
        after = torch.tanh(recurrent + self.gain * x)
        return after, self.rule(trace, self.eta, before, after)

    def extra_repr(self) -> str:
        """Show the size and the rule."""
        return f"{self.size}, rule={getattr(self.rule, '__name__', type(self.rule).__name__)}"
