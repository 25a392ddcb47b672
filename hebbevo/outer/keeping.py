"""The networks of a cohort that a study may keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hebbevo.study.kept_network import KeptNetwork

if TYPE_CHECKING:
    from hebbevo.training import Measurement


def kept_networks(trials: Sequence[int], measured: Sequence[Measurement]) -> list[KeptNetwork]:
    """The networks of a cohort whose weights came with their measurements.

    Args:
        trials: numbers of the trials.
        measured: the replicates of the first trial, then those of the second, and so on.
    """
    replicates = len(measured) // len(trials)
    return [
        KeptNetwork(
            trial=trials[row // replicates],
            epoch=epoch,
            replicate=row % replicates,
            accuracy=each.accuracy[epoch - 1],
            survivors=each.survivors[epoch - 1],
            weights=weights,
        )
        for row, each in enumerate(measured)
        for epoch, weights in each.weights.items()
    ]
