"""Small searches, and brute-force dominance, fronts and crowding with which selections are checked."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import pytest
from optuna.samplers import GPSampler

from hebbevo.samplers import Outcome, Sampler
from hebbevo.space import FloatGene, Genome, Space

Losses = Callable[[Genome], tuple[float, ...] | None]


@pytest.fixture
def short_search_on_optunas_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the best of 64 random points: Optuna's own search takes a second, and no claim is about it."""

    def best_of_64(self, model, _):
        points = model.search_space.sample_normalized_params(64, self._rng.rng)
        return points[model.eval_acqf_no_grad(points).argmax()]

    monkeypatch.setattr(GPSampler, "_optimize_acqf", best_of_64)


def cube(dimension: int) -> Space:
    """A space in which a genome has the coordinates of its point."""
    return Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(dimension)))


def place(genome: Genome) -> np.ndarray:
    """The point of a genome of `cube`."""
    return np.array(list(genome.values()))


def run_generation(sampler: Sampler, losses: Losses, n: int) -> list[Outcome]:
    """Ask for ``n`` genomes, tell their losses, and return the outcomes."""
    outcomes = [Outcome(genome, losses(genome)) for genome in sampler.ask(n)]
    sampler.tell(outcomes)
    return outcomes


def search(sampler: Sampler, losses: Losses, n: int, generations: int) -> list[Outcome]:
    """Run several generations and return all outcomes."""
    return [outcome for _ in range(generations) for outcome in run_generation(sampler, losses, n)]


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def fronts(losses: np.ndarray) -> Iterator[list[int]]:
    """The rows of each front, the best front first."""
    left = list(range(len(losses)))
    while left:
        front = [row for row in left if not any(dominates(losses[other], losses[row]) for other in left)]
        yield front
        left = [row for row in left if row not in front]


def crowding(losses: np.ndarray, front: Sequence[int]) -> dict[int, float]:
    """The crowding distance of each row of a front (Deb et al., 2002, section III-B)."""
    distance = dict.fromkeys(front, 0.0)
    for objective in range(losses.shape[1]):
        line = sorted(front, key=lambda row: losses[row, objective])
        spread = losses[line[-1], objective] - losses[line[0], objective]
        distance[line[0]] = distance[line[-1]] = math.inf
        for before, row, after in zip(line, line[1:], line[2:], strict=False):
            distance[row] += (losses[after, objective] - losses[before, objective]) / spread
    return distance


def assert_best_by_front_and_crowding(chosen: Collection[int], losses: np.ndarray) -> None:
    """The chosen rows are whole fronts, and of the last front none is more crowded than one left out."""
    room = len(chosen)
    for front in fronts(losses):
        inside = [row for row in front if row in chosen]
        assert len(inside) == min(room, len(front))
        if 0 < len(inside) < len(front):
            distance = crowding(losses, front)
            outside = [row for row in front if row not in chosen]
            assert min(map(distance.__getitem__, inside)) >= max(map(distance.__getitem__, outside))
        room -= len(inside)
