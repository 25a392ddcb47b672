"""Adapts outcomes to DEAP: individuals with a fitness, and the global random numbers that it draws from."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from deap import base

from hebbevo.exclusive import PROCESS
from hebbevo.samplers.sampler import Outcome, penalised
from hebbevo.samplers.unit_cube import Point


class Fitness(base.Fitness):  # type: ignore[misc]
    """Losses in the form that DEAP's selection compares."""

    def __init__(self, losses: Sequence[float]) -> None:
        self.weights = (-1.0,) * len(losses)  # DEAP maximises the values times the weights
        super().__init__(tuple(float(loss) for loss in losses))


class Individual(list[float]):
    """The coordinates of a point, which DEAP varies, and the outcome of its genome.

    Attributes:
        outcome: the outcome, with losses.
        genome: the genome of the outcome.
        fitness: set by `set_fitness`.
    """

    def __init__(self, point: Point, outcome: Outcome) -> None:
        super().__init__(float(u) for u in point)
        self.outcome = outcome
        self.genome = outcome.genome
        self.fitness: Fitness


def set_fitness(individuals: Sequence[Individual]) -> None:
    """Set every fitness anew from the penalised losses.

    The penalty of a constraint depends on the worst loss of all individuals that are compared. So a fitness
    holds only until others join or leave.
    """
    losses = penalised([individual.outcome for individual in individuals])
    for individual, row in zip(individuals, losses, strict=True):
        individual.fitness = Fitness(row)


@contextmanager
def seeded_global_random(seed: int, generation: int) -> Iterator[None]:
    """Seed the global generators of Python and NumPy inside the context, and restore them afterwards.

    DEAP's operators draw from these and take no generator of their own.
    """
    with PROCESS:
        python, numpy = random.getstate(), np.random.get_state()
        random.seed(f"{seed}/{generation}")
        np.random.seed(random.getrandbits(32))
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
