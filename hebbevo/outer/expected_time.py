"""Which trainings of a generation start first: the longest, so that no worker waits for a late one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from hebbevo.networks import Architecture
from hebbevo.outer.sizes import count_weights
from hebbevo.space import Genome, Space
from hebbevo.study.ledger import Record

if TYPE_CHECKING:
    from hebbevo.execution import Cohort
    from hebbevo.training import Recipe

_NEIGHBOURS = 5
_MOST_TRIALS = 300  # earlier trials that are looked at, the latest


class ExpectedTime:
    """How long a genome will train: as long as the earlier trials that are nearest to it in the space.

    Their times say how fast neurons die, and when trainings are stopped. Before there are any, the number of
    weights decides. Only the order of trainings depends on it, and no result.

    Args:
        space: the genes.
        recipe: what all trainings share.
        earlier: the trials of earlier generations, the latest first.
    """

    def __init__(self, space: Space, recipe: Recipe, earlier: Iterable[Record]) -> None:
        self._space, self._recipe = space, recipe
        trained = (each for each in earlier if each.result and each.result.details.seconds)
        known = [*islice(trained, _MOST_TRIALS)]
        self._points = np.array([space.to_unit(each.genome) for each in known])
        self._seconds = np.array([each.result.details.seconds for each in known if each.result])

    def __call__(self, genome: Genome) -> float:
        """The expected time of one training, in seconds or, before any trial, in weights."""
        if not len(self._seconds):
            network = self._recipe.network
            if not isinstance(network, Architecture):
                return 0.0
            return count_weights(network.shaped(self._recipe.settings_for(genome)))
        squares = np.square(self._points - self._space.to_unit(genome)).sum(axis=1)
        nearest = np.argsort(squares, kind="stable")[:_NEIGHBOURS]
        return float(self._seconds[nearest].mean())


def longest_first(cohorts: Sequence[Cohort], expected: ExpectedTime) -> list[Cohort]:
    """Order cohorts by their expected time; equal ones stay in their order."""

    def total(cohort: Cohort) -> float:
        return sum(expected(each.genome) for each in cohort.candidates)

    return sorted(cohorts, key=total, reverse=True)
