"""The knobs that every training has: those of the optimiser, and the rise of the learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hebbevo.space.knobs import Knob, table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

KNOBS = table(
    Knob("optimizer", str, "adamw", "update rule of the weights", choices=("adamw", "sgd")),
    Knob(
        "learning_rate", float, 1e-3, "step size of the optimiser",
        low=1e-8, sensible=(3e-4, 1e-2), log=True,
    ),
    Knob(
        "weight_decay", float, 1e-2, "decoupled: weights shrink by learning_rate x this a step",
        low=0.0, sensible=(1e-5, 1.0), log=True,
    ),
    Knob(
        "learning_rate_warmup", int, 0, "first steps, in which the learning rate rises linearly",
        low=0, sensible=(0, 200),
    ),
    Knob("momentum", float, 0.9, "momentum of sgd", low=0.0, high=0.999, sensible=(0.0, 0.99)),
)  # fmt: skip


def rising_factor(step: npt.ArrayLike, warmup: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The factor of the learning rate at steps, counted from 1: linear up to 1 at step ``warmup``.

    >>> rising_factor([1, 2, 4, 5], warmup=4).tolist(), rising_factor(1, warmup=0).tolist()
    ([0.25, 0.5, 1.0, 1.0], 1.0)
    """
    import numpy as np  # here, because a command that trains nothing does not need it

    factor: npt.NDArray[np.float64] = np.minimum(1.0, np.asarray(step) / np.maximum(warmup, 1))
    return factor
