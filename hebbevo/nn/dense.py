"""Dense: units that never die, the control that a rule has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from hebbevo.knobs import Knob, Value
from hebbevo.nn.plastic import Neighbourhood, PlasticUnits

KNOBS: dict[str, Knob] = {
    "settle": Knob(
        "settle", float, 0.0, "last fraction of training in which the learning rate falls to zero",
        low=0.0, high=0.95, sensible=(0.0, 0.5),
    ),
}  # fmt: skip


class Dense(PlasticUnits):
    """A ReLU all of whose units live; trained by the schedule of the rules it is compared with.

    Args:
        num_neurons: units of the layer, or channels.
        dim: axis of the neurons, taken as by every rule.
        seed: taken as by every rule; nothing here is random.
        knobs: see ``Dense.knobs``; only whoever trains looks at it.

    Raises:
        UsageError: unknown knob, or a value outside its range.
    """

    knobs: ClassVar[Mapping[str, Knob]] = KNOBS

    settle: Tensor

    def __init__(self, num_neurons: int, *, dim: int = -1, seed: int | None = None, **knobs: Value) -> None:
        super().__init__()
        self.num_neurons = num_neurons
        self.dim = dim
        self.register_buffer("alive", torch.ones(num_neurons, dtype=torch.bool))
        self.configure(**knobs)

    def forward(self, x: Tensor) -> Tensor:
        """Rectify ``x``, of any shape."""
        if self.training:
            self.steps.add_(1)
        return x.relu()

    def due(self, step: Tensor) -> Tensor:
        """Never."""
        return torch.zeros_like(step, dtype=torch.bool)

    def connect(self, around: Neighbourhood) -> None:
        """Look at nothing."""

    def restructure(self, around: Neighbourhood, due: Tensor | None = None) -> None:
        """Leave everything as it is."""
