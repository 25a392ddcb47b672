"""The results of a trial after its epochs: networks of earlier epochs may be on the front, too.

The best of twenty noisy epochs would look better than it is. So of the epochs with the same number of
survivors, and the same further counts, only the last one counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hebbevo.study.ledger import Result


class EpochResult(NamedTuple):
    """What the networks of a trial reached after an epoch, as means over its replicates.

    Attributes:
        epoch: number of epochs trained, 1 or more.
        accuracy: accuracy on the validation rows, 0..1.
        survivors: number of neurons, or connections, on a live path.
        further: what is counted beside survivors.
    """

    epoch: int
    accuracy: float
    survivors: float
    further: tuple[float, ...] = ()

    @property
    def values(self) -> tuple[float, ...]:
        """Accuracy, survivors and further counts."""
        return self.accuracy, self.survivors, *self.further


def epoch_results(result: Result, epochs: int) -> list[EpochResult]:
    """Give the results of a trial that count: one for each state of its counts, by epoch.

    The last one of a complete trial, after all epochs, has its values. A trial that was stopped early ends
    sooner. A failed trial has none.

    Args:
        result: the trial's result.
        epochs: number of epochs of a whole training.
    """
    details = result.details
    if result.values is None and not details.stopped:
        return []
    further = details.further_per_epoch.values()
    states = zip(details.accuracy_per_epoch, details.survivors_per_epoch, *further, strict=True)
    last = {
        (survivors, *counts): EpochResult(epoch, accuracy, survivors, tuple(counts))
        for epoch, (accuracy, survivors, *counts) in enumerate(states, start=1)
    }
    if result.values is not None:
        accuracy, survivors, *counts = result.values
        last[survivors, *counts] = EpochResult(epochs, accuracy, survivors, tuple(counts))
    return sorted(last.values())


def which_count(trials: NDArray[np.intp], counts: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which results of many trials count, as `epoch_results` selects those of one.

    >>> which_count(np.array([0, 0, 0, 1]), np.array([[8.0], [5.0], [8.0], [8.0]])).tolist()
    [False, True, True, True]

    Args:
        trials: of which trial each result is, shape (n,).
        counts: of each result, shape (n, counts); those of one trial are by epoch.
    """
    order = np.lexsort((*counts.T, trials))  # keeps the order of epochs among equals
    found = np.ones(len(order), bool)
    same = (np.diff(counts[order], axis=0) == 0).all(axis=1) & (np.diff(trials[order]) == 0)
    found[order[:-1][same]] = False
    return found
