"""The inner loop: cohorts of networks, trained together and scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hebbevo import lazily
from hebbevo.training.knobs import KNOBS

if TYPE_CHECKING:
    from hebbevo.training.cohort import Cohort, Rows, accuracy, ever_due
    from hebbevo.training.halving import Standard, Trajectory, Verdict
    from hebbevo.training.inner import networks_of, ran_out_of_memory, told, train
    from hebbevo.training.recipe import Candidate, Measurement, Recipe
    from hebbevo.training.scoring import Score, score

__getattr__, __dir__ = lazily.names(
    __name__,
    {
        "hebbevo.training.cohort": ("Cohort", "Rows", "accuracy", "ever_due"),
        "hebbevo.training.halving": ("Standard", "Trajectory", "Verdict"),
        "hebbevo.training.inner": ("networks_of", "ran_out_of_memory", "told", "train"),
        "hebbevo.training.recipe": ("Candidate", "Measurement", "Recipe"),
        "hebbevo.training.scoring": ("Score", "score"),
    },
)

__all__ = [
    "KNOBS",
    "Candidate",
    "Cohort",
    "Measurement",
    "Recipe",
    "Rows",
    "Score",
    "Standard",
    "Trajectory",
    "Verdict",
    "accuracy",
    "ever_due",
    "networks_of",
    "ran_out_of_memory",
    "score",
    "told",
    "train",
]
