"""What DEAP wants: individuals with a fitness, and the global random numbers that it draws from."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from deap import base

from hebbevo.samplers.sampler import Outcome, Point, penalised


class Fitness(base.Fitness):  # type: ignore[misc]
    """Losses, as DEAP's selection wants them."""

    def __init__(self, losses: Sequence[float]) -> None:
        self.weights = (-1.0,) * len(losses)
        super().__init__(tuple(float(loss) for loss in losses))


class Individual(list[float]):
    """A point of the unit cube and what became of its genome."""

    def __init__(self, point: Point, outcome: Outcome) -> None:
        super().__init__(float(u) for u in point)
        self.outcome = outcome
        self.genome = outcome.genome
        self.fitness: Fitness


def compare(individuals: Sequence[Individual]) -> None:
    """Set every fitness anew; what it is worth to miss a constraint depends on who is compared."""
    losses = penalised([individual.outcome for individual in individuals])
    for individual, row in zip(individuals, losses, strict=True):
        individual.fitness = Fitness(row)


@contextmanager
def global_random(seed: int, generation: int) -> Iterator[None]:
    """Seed the generators of Python and NumPy, and put them back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(f"{seed}/{generation}")
    np.random.seed(random.getrandbits(32))
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
