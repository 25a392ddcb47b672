"""The settling phase: the last part of training, in which rules of every kind rest.

Nothing is pruned or regrown in it, and the learning rate falls linearly to zero. `is_settling` says when
rules rest, `last_event_step` when the last event falls, and `settling_factor` gives the learning rate. Which
phase counts for the learning rate of a network, `hebbevo.nn.plastic.longest_settling` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hebbevo.rules.rule import Asked, Need, Needs
from hebbevo.space.knobs import Knob

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

SETTLE = Knob(
    "settle", float, 0.0,
    "last fraction of training in which nothing is pruned or regrown, while the learning rate falls to zero",
    low=0.0, high=0.95, sensible=(0.0, 0.5),
)  # fmt: skip

NEEDS: Needs = {Need.LENGTH: (Asked(SETTLE.name),)}
"""Where the last part of a training begins depends on its length."""


def is_settling(k: Any, step: Tensor, total: Tensor) -> Tensor:
    """Whether ``step`` of ``total`` is in the settling phase, bool; ``total`` is 0 where it is not known."""
    return (total > 0) & (step > total * (1 - k.settle))


def last_event_step(k: Any, total: Tensor) -> Tensor:
    """The last step before the settling phase of a training of ``total`` steps, int64."""
    return (total * (1 - k.settle)).floor().long()


def settling_factor(step: npt.ArrayLike, total_steps: int, settle: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The factor of the learning rate at ``step`` of ``total_steps``: 1, then linearly to zero.

    Args:
        step: forward steps, counted from 1.
        total_steps: of the whole training.
        settle: the settling phase, a fraction of the training, of a shape that goes with ``step``.
    """
    import numpy as np  # here, because a command that trains nothing does not need it

    steps_left = (total_steps - np.asarray(step) + 1) / np.maximum(total_steps * np.asarray(settle), 1)
    factor: npt.NDArray[np.float64] = np.clip(steps_left, 0.0, 1.0)
    return factor
