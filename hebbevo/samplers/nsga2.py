"""NSGA-II (Deb et al., 2002) on arrays, a whole population at once."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ETA = 10.0  # closeness of children to their parents
_CROSSOVER = 0.9


def vary(parents: Array, n: int, is_choice: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """Make ``n`` points, (n, dimension), of ``parents`` in the unit cube.

    Simulated binary crossover and polynomial mutation, reflected at the bounds; axes of choices are swapped
    and redrawn instead. One axis a point mutates on average.
    """
    shape = n, parents.shape[1]
    one, two = parents[rng.integers(len(parents), size=(2, n))]
    u, swap = rng.random((2, *shape))
    spread = np.where(u < 0.5, 2 * u, 1 / (2 * (1 - u))) ** (1 / (_ETA + 1))
    mixed = np.where(is_choice, two, ((1 + spread) * one + (1 - spread) * two) / 2)
    crossed = (swap < 0.5) & (rng.random((n, 1)) < _CROSSOVER)
    children = np.where(crossed, mixed, one)

    u, anew, chance = rng.random((3, *shape))
    left = np.where(u < 0.5, 2 * u, 2 * (1 - u)) ** (1 / (_ETA + 1))
    step = np.where(u < 0.5, left - 1, 1 - left)
    mutated = np.where(is_choice, anew, children + step)
    children = np.abs(np.where(chance < 1 / shape[1], mutated, children))
    reflected: Array = np.maximum(np.minimum(children, 2 - children), 0.0)
    return reflected


def best_of(losses: Array, k: int) -> NDArray[np.intp]:
    """Find the rows of the ``k`` best of (n, objectives): by rank, in the last rank by crowding distance."""
    ranks = moocore.pareto_rank(losses) if losses.shape[1] > 1 else _ranks(losses[:, 0])
    order = np.argsort(ranks, kind="stable")
    if len(order) <= k:
        return order
    last = ranks[order[k]]
    inside = order[ranks[order] < last]
    edge = np.flatnonzero(ranks == last)
    least_crowded = edge[np.argsort(-_crowding(losses[edge]), kind="stable")]
    return np.concatenate([inside, least_crowded[: k - len(inside)]])


def _ranks(losses: Array) -> NDArray[np.intp]:
    ranks: NDArray[np.intp] = np.unique(losses, return_inverse=True)[1]
    return ranks


def _crowding(losses: Array) -> Array:
    distance = np.zeros(len(losses))
    for loss in losses.T:
        order = np.argsort(loss, kind="stable")
        line = loss[order]
        gaps = np.full(len(loss), np.inf)
        gaps[1:-1] = (line[2:] - line[:-2]) / (line[-1] - line[0] or 1.0)
        distance[order] += gaps
    return distance
