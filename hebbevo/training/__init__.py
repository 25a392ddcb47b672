"""The inner loop: cohorts of networks, trained together and scored."""

from hebbevo.nn.paths import COUNTS
from hebbevo.training.cohort import Cohort, Rows, accuracy, ever_due
from hebbevo.training.halving import Standard, Trajectory, Verdict
from hebbevo.training.inner import networks_of, ran_out_of_memory, told, train
from hebbevo.training.optimizers import KNOBS
from hebbevo.training.recipe import Candidate, Measurement, Recipe, knobs
from hebbevo.training.scoring import Score, score

__all__ = [
    "COUNTS",
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
    "knobs",
    "networks_of",
    "ran_out_of_memory",
    "score",
    "told",
    "train",
]
