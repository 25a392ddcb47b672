"""The inner loop: cohorts of networks, trained together and scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hebbevo import lazy_imports
from hebbevo.training.knobs import KNOBS
from hebbevo.training.scores import DEFAULT_SCORES, SCORES

if TYPE_CHECKING:
    from hebbevo.training.cohort import CohortTraining, Rows, has_events
    from hebbevo.training.early_stopping import Decision, EarlyStopper, Trajectory
    from hebbevo.training.keeping import Keeping
    from hebbevo.training.out_of_memory import ran_out_of_memory
    from hebbevo.training.recipe import Candidate, Exam, ExamResult, Measurement, Recipe
    from hebbevo.training.scoring import Score, score
    from hebbevo.training.trainer import networks_of, train

__getattr__, __dir__ = lazy_imports.attach(
    __name__,
    {
        "hebbevo.training.cohort": ("CohortTraining", "Rows", "has_events"),
        "hebbevo.training.early_stopping": ("EarlyStopper", "Trajectory", "Decision"),
        "hebbevo.training.keeping": ("Keeping",),
        "hebbevo.training.out_of_memory": ("ran_out_of_memory",),
        "hebbevo.training.recipe": ("Candidate", "Exam", "ExamResult", "Measurement", "Recipe"),
        "hebbevo.training.scoring": ("Score", "score"),
        "hebbevo.training.trainer": ("networks_of", "train"),
    },
)

__all__ = [
    "DEFAULT_SCORES",
    "KNOBS",
    "SCORES",
    "Candidate",
    "CohortTraining",
    "Decision",
    "EarlyStopper",
    "Exam",
    "ExamResult",
    "Keeping",
    "Measurement",
    "Recipe",
    "Rows",
    "Score",
    "Trajectory",
    "has_events",
    "networks_of",
    "ran_out_of_memory",
    "score",
    "train",
]
