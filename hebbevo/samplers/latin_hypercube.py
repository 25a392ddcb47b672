"""A Latin hypercube over all trials: a design that no result changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from scipy.stats import qmc

from hebbevo.samplers.sampler import Outcome, Sampler
from hebbevo.samplers.unit_cube import Point
from hebbevo.space import Genome
from hebbevo.space.knobs import Scalar


class LatinHypercube(Sampler):
    """Every axis is cut into as many parts as the search has trials, and each part holds one point.

    So each gene is spread evenly however many genes there are (McKay, Beckman & Conover, 1979,
    doi:10.2307/1268522). The points come in random order, so that those of a search that was stopped lie
    everywhere too. A search that is extended goes on with a further hypercube of the same size.

    Attributes:
        size: points of a hypercube: the trials of the search; of a search without a number of trials, the
            genomes of its first generation. 0 before that is known.
    """

    learns_after = math.inf

    def _set_up(self, settings: Mapping[str, Scalar]) -> None:
        self.size = self.trials or 0
        self._told = 0
        self._cubes: dict[int, list[Point]] = {}

    def _ask(self, n: int) -> list[Genome]:
        self.size = self.size or n
        rng = self._rng()
        points = [self._point(place) for place in range(self._told, self._told + n)]
        return [self.space.from_unit(self._unseen(partial(np.copy, point), rng)) for point in points]

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        self._told += len(outcomes)

    def _point(self, place: int) -> Point:
        """The point at a place of the design, which goes on hypercube by hypercube."""
        number, row = divmod(place, self.size)
        if number not in self._cubes:
            # a third number in the seed, so that these are not the numbers of a generation
            rng = np.random.default_rng([self.seed, number, 2])
            self._cubes[number] = [*qmc.LatinHypercube(self.space.dimension, rng=rng).random(self.size)]
        return self._cubes[number][row]
