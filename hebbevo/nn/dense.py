"""Dense: units that never die, the control that a rule has to beat."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hebbevo.errors import UsageError
from hebbevo.knobs import Knob
from hebbevo.nn.plastic import Neighbourhood, Plastic

KNOBS: dict[str, Knob] = {
    "settle": Knob(
        "settle", float, 0.0, "last fraction of training in which the learning rate falls to zero",
        low=0.0, high=0.95, sensible=(0.0, 0.5),
    ),
}  # fmt: skip


class Dense(Plastic):
    """A ReLU all of whose units live; trained by the schedule of the rules it is compared with.

    Args:
        num_neurons: units of the layer.
        seed: taken as by every rule; nothing here is random.
        settle: see ``Dense.knobs``; only whoever trains looks at it.

    Raises:
        UsageError: a value outside its range.
    """

    knobs: ClassVar[dict[str, Knob]] = KNOBS

    settle: Tensor

    def __init__(self, num_neurons: int, *, seed: int | None = None, settle: float = 0.0) -> None:
        super().__init__()
        if problem := KNOBS["settle"].problem(settle):
            raise UsageError(f"Dense: settle: {problem}")
        self.num_neurons = num_neurons
        self.register_buffer("alive", torch.ones(num_neurons, dtype=torch.bool))
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("settle", torch.tensor(float(settle)))

    def forward(self, x: Tensor) -> Tensor:
        """Rectify ``x``, (..., num_neurons)."""
        if self.training:
            self.steps.add_(1)
        return x.relu()

    def due(self, step: Tensor) -> Tensor:
        """Never."""
        return torch.zeros_like(step, dtype=torch.bool)

    def connect(self, around: Neighbourhood, total_steps: int) -> None:
        """Look at nothing."""

    def restructure(self, around: Neighbourhood) -> None:
        """Leave everything as it is."""
