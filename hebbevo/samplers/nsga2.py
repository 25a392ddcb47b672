"""NSGA-II (Deb et al., 2002, doi:10.1109/4235.996017) on arrays, a whole population at once.

The search on a model makes thousands of children per proposal, for which DEAP's lists are too slow.
"""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import NDArray

from hebbevo.samplers.unit_cube import reflected_once

Array = NDArray[np.float64]

_ETA = 10.0  # distribution index of crossover and mutation: at a larger one children are closer to parents
_CROSSOVER = 0.9  # probability


def vary(parents: Array, n: int, is_choice: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """Make children by simulated binary crossover and polynomial mutation, reflected at the bounds.

    An axis of choices is swapped and redrawn instead. One axis of a child mutates on average.

    Args:
        parents: (m, dimension), points of the unit cube.
        n: number of children.
        is_choice: (dimension,), whether an axis is that of a gene with choices.
        rng: the source of random numbers.

    Returns:
        (n, dimension), points of the unit cube.
    """
    shape = n, parents.shape[1]
    one, two = parents[rng.integers(len(parents), size=(2, n))]
    u, swap = rng.random((2, *shape))
    # the spread factor of simulated binary crossover (Deb & Agrawal, 1995)
    spread = np.where(u < 0.5, 2 * u, 1 / (2 * (1 - u))) ** (1 / (_ETA + 1))
    mixed = np.where(is_choice, two, ((1 + spread) * one + (1 - spread) * two) / 2)
    crossed = (swap < 0.5) & (rng.random((n, 1)) < _CROSSOVER)
    children = np.where(crossed, mixed, one)

    u, anew, chance = rng.random((3, *shape))
    # the step of polynomial mutation (Deb & Goyal, 1996), in parts of the axis
    left = np.where(u < 0.5, 2 * u, 2 * (1 - u)) ** (1 / (_ETA + 1))
    step = np.where(u < 0.5, left - 1, 1 - left)
    mutated = np.where(is_choice, anew, children + step)
    return reflected_once(np.where(chance < 1 / shape[1], mutated, children))


def best_of(losses: Array, k: int) -> NDArray[np.intp]:
    """Find the best rows by rank, and in the last rank that fits by crowding distance.

    Args:
        losses: (n, objectives), to be minimised.
        k: number of rows.

    Returns:
        ``k`` row numbers, best first; all row numbers if there are no more than ``k``.

    Examples:
        >>> best_of(np.array([[3.0, 3.0], [0.0, 2.0], [2.0, 0.0], [1.0, 1.0]]), 3)
        array([1, 2, 3])
    """
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
    """The crowding distances, (n,), of (n, objectives): infinite at both ends of every objective."""
    distance = np.zeros(len(losses))
    for loss in losses.T:
        order = np.argsort(loss, kind="stable")
        line = loss[order]
        gaps = np.full(len(loss), np.inf)
        gaps[1:-1] = (line[2:] - line[:-2]) / (line[-1] - line[0] or 1.0)
        distance[order] += gaps
    return distance
