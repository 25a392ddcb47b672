"""The inner loop: cohorts of networks, trained together and scored."""

from hebbevo.training.cohort import (
    Candidate,
    Cohort,
    Measurement,
    Recipe,
    ever_due,
    knob_values,
    knobs,
    train,
)
from hebbevo.training.scoring import Score, score

__all__ = [
    "Candidate",
    "Cohort",
    "Measurement",
    "Recipe",
    "Score",
    "ever_due",
    "knob_values",
    "knobs",
    "score",
    "train",
]
