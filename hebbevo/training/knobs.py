"""The knobs that every training has: those of the optimiser."""

from __future__ import annotations

from hebbevo.space.knobs import Knob, table

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
    Knob("momentum", float, 0.9, "momentum of sgd", low=0.0, high=0.999, sensible=(0.0, 0.99)),
)  # fmt: skip
