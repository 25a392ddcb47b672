"""Which epoch results may be on the front of a study, and which of them are.

A network no better than a guess is of no use, however small it is. Nor is one that has collapsed. So neither
is ever on a front. Samplers learn from all results all the same: this decides what is shown, not what is
searched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hebbevo.objectives import pareto
from hebbevo.study.epoch_results import EpochResult
from hebbevo.training.trial_details import TrialDetails

_DECIMALS = 9  # means over replicates that are equal can differ in their last digits


def works(point: EpochResult, details: TrialDetails, chance: float) -> bool:
    """Whether a network is better than a guess, and no replicate of it has collapsed.

    Whether a replicate collapsed is recorded after the last epoch only. A single network that collapsed
    before has the accuracy of a guess.

    Args:
        point: a result of a trial.
        details: of the same trial.
        chance: accuracy of a guess.
    """
    is_last = point.epoch >= len(details.accuracy_per_epoch)
    return point.accuracy > chance and not (details.collapsed and is_last)


def front_rows(points: pareto.Points) -> NDArray[np.intp]:
    """Find the points that no other point dominates, by survivors ascending; of equal points only the first.

    Points are equal if they differ by rounding errors only.

    >>> front_rows(np.array([[0.9, 30.0], [0.1 + 0.2, 9.0], [0.3, 9.0]])).tolist()
    [1, 0]

    Args:
        points: shape (n, measures), accuracy, survivors and further counts that are objectives.
    """
    return pareto.front(points.round(_DECIMALS))
