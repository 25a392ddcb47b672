"""What CMA-ES learns: DEAP's update rules, with a step size and directions that cannot degenerate."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import moocore
import numpy as np
from deap import cma, tools
from numpy.typing import NDArray

from hebbevo.samplers.deap_adapter import Individual, set_fitness
from hebbevo.samplers.numeric_axes import FINEST, NumericAxes
from hebbevo.samplers.sampler import Outcome
from hebbevo.samplers.unit_cube import Point, reflected

Matrix = NDArray[np.float64]

_WIDEST = 1.0  # the largest step size: as wide as the cube
_FLATTEST = 1e-12  # the smallest variance over the largest: rounding must not make one negative


class Member(Individual):
    """An individual of which DEAP sees the numeric coordinates.

    Args:
        coordinates: those of the numeric axes, (axes,).
        point: all coordinates, (dimension,).
        outcome: the outcome of the point's genome.
        parent: the number of the parent that it was drawn from; ``None`` if it has none.

    Attributes:
        number: its own number, once it is a parent.
    """

    def __init__(self, coordinates: Point, point: Point, outcome: Outcome, parent: int | None) -> None:
        super().__init__(coordinates, outcome)
        self.point = point
        self.parent = parent
        self._ps = "o", parent  # read by DEAP: an offspring of that parent

    def become_parent(self, number: int) -> None:
        """Take a number as a parent of the next generation."""
        self.number = number
        self._ps = "p", number  # read by DEAP: the parent of that number


class Strategy(ABC):
    """What has been learnt from the generations so far.

    DEAP's ``generate`` is not used: it draws a whole generation at once, from the global random numbers.

    Args:
        axes: which genes have directions.
        sigma: the first step size, in parts of an axis.

    Attributes:
        deap: DEAP's strategy, which is updated; ``None`` as long as no training succeeded.
    """

    def __init__(self, axes: NumericAxes, sigma: float) -> None:
        self._axes = axes
        self._sigma = sigma
        self.deap: Any = None

    @abstractmethod
    def parents(self, n: int, rng: np.random.Generator) -> list[int]:
        """Choose the parents of ``n`` children by their numbers; none as long as no training succeeded."""

    @abstractmethod
    def child(self, parent: int, rng: np.random.Generator) -> Point:
        """Draw a point, (dimension,), with the choices of a parent."""

    @abstractmethod
    def learn(self, members: Sequence[Member], size: int) -> None:
        """Learn from the members of a generation of which ``size`` were asked."""

    def moved(self, point: Point, centre: Point, step: Point) -> Point:
        """Give ``point`` the numeric coordinates ``centre`` + ``step``, reflected into the cube."""
        moved = point.copy()
        moved[self._axes.numeric] = reflected(centre + step)
        return moved


class MultiObjectiveStrategy(Strategy):
    """MO-CMA-ES: children of the first front's parents; those that add least hypervolume are dropped.

    A child moves along a few directions of its parent's distribution only. Their number is log-uniform, up to
    just over half of the axes. Generations are too few to learn a step size that suits all directions.
    """

    def parents(self, n: int, rng: np.random.Generator) -> list[int]:
        """Choose uniformly among the parents that no other dominates."""
        if self.deap is None:
            return []
        members = self.deap.parents
        front = tools.sortLogNondominated(members, len(members), first_front_only=True)
        return [front[place].number for place in rng.integers(len(front), size=n)]

    def child(self, parent: int, rng: np.random.Generator) -> Point:
        """Draw from the parent's own normal distribution, along some of its directions."""
        member, sigma, A = (each[parent] for each in (self.deap.parents, self.deap.sigmas, self.deap.A))
        z = rng.standard_normal(len(A))
        moving = int((len(z) // 2 + 2) ** rng.random())
        z[rng.permutation(len(z))[moving:]] = 0.0
        return self.moved(member.point, np.array(member), sigma * A @ z)

    def learn(self, members: Sequence[Member], size: int) -> None:
        """Select parents and children together, and adapt the distributions of those that stay."""
        alive = [member for member in members if member.outcome.losses is not None]
        self._add_parents([member for member in alive if member.parent is None])
        if self.deap is None:
            return
        children = [member for member in alive if member.parent is not None]
        set_fitness(self.deap.parents + children)
        self.deap.mu = size
        self.deap.update(children)
        self.deap.sigmas = [_bounded(sigma) for sigma in self.deap.sigmas]
        for number, member in enumerate(self.deap.parents):
            member.become_parent(number)
            self._widen(number, self._axes.least_deviations(np.array(member)))

    def _add_parents(self, members: list[Member]) -> None:
        """Add members that have no parent, each with a first distribution of its own."""
        if not members:
            return
        fresh = cma.StrategyMultiObjective(members, self._sigma, indicator=least_contributor)
        if self.deap is None:
            self.deap = fresh
        else:
            for name in ("parents", "sigmas", "A", "invCholesky", "pc", "psucc"):
                getattr(self.deap, name).extend(getattr(fresh, name))
        for number, member in enumerate(self.deap.parents):
            member.become_parent(number)

    def _widen(self, number: int, least: Point) -> None:
        """Widen the distribution of a parent to the ``least`` standard deviations."""
        A: Matrix = self.deap.A[number]
        covariance, least = A @ A.T, least / self.deap.sigmas[number]
        if (covariance.diagonal() < least**2).any():
            self.deap.A[number] = np.linalg.cholesky(_widened(covariance, least))
            self.deap.invCholesky[number] = np.linalg.inv(self.deap.A[number])


class SingleObjectiveStrategy(Strategy):
    """CMA-ES: one normal distribution, updated as soon as enough genomes were drawn from it.

    The first update takes the Latin hypercube, whose weighted mean is the first centre of the distribution.
    An update needs 4 + 3 ln(axes) genomes, the usual size of a population (Hansen, 2016, arXiv:1604.00772,
    table 1).
    """

    def __init__(self, axes: NumericAxes, sigma: float) -> None:
        super().__init__(axes, sigma)
        self._fewest = 4 + int(3 * math.log(max(1, len(axes.numeric))))
        self._gathered: list[Member] = []
        self._better_half: list[Member] = []

    def parents(self, n: int, rng: np.random.Generator) -> list[int]:
        """Choose among the better half of the last update, by its weights; they give their choices only."""
        if self.deap is None:
            return []
        return list(rng.choice(len(self._better_half), size=n, p=self.deap.weights))

    def child(self, parent: int, rng: np.random.Generator) -> Point:
        """Draw from the normal distribution, with the choices of a parent (Hansen, 2016, eq. 5)."""
        step = self.deap.sigma * self.deap.BD @ rng.standard_normal(len(self.deap.BD))
        return self.moved(self._better_half[parent].point, self.deap.centroid, step)

    def learn(self, members: Sequence[Member], size: int) -> None:
        """Gather the members, and update the distribution once there are enough."""
        # a point drawn anywhere says nothing about the distribution, except in the first update
        self._gathered += [member for member in members if self.deap is None or member.parent is not None]
        alive = [member for member in self._gathered if member.outcome.losses is not None]
        if len(self._gathered) < self._fewest or not alive:
            return
        set_fitness(alive)
        alive.sort(key=lambda member: member.fitness, reverse=True)
        # failed trainings count among those drawn, but are never among the better half
        better = min(len(alive), len(self._gathered) // 2)
        if self.deap is None:
            self.deap = cma.Strategy(alive[0], self._sigma, mu=better)
            self.deap.centroid = self.deap.weights @ np.array(alive[:better])
        else:
            self.deap.computeParams({"mu": better})
            self.deap.update(alive)
        self.deap.sigma = _bounded(self.deap.sigma)
        self._widen(self._axes.least_deviations(self.deap.centroid))
        self._better_half = alive[:better]
        self._gathered = []

    def _widen(self, least: Point) -> None:
        """Widen the distribution to the ``least`` standard deviations, and keep its variances positive."""
        covariance = _widened(self.deap.C, least / self.deap.sigma)
        variances, self.deap.B = np.linalg.eigh(covariance)
        self.deap.diagD = np.sqrt(np.maximum(variances, _FLATTEST * variances[-1]))
        self.deap.BD = self.deap.B * self.deap.diagD
        self.deap.C = self.deap.BD @ self.deap.BD.T


def _bounded(sigma: float) -> float:
    return min(max(sigma, FINEST), _WIDEST)


def _widened(covariance: Matrix, least: Point) -> Matrix:
    """Add independent noise on every axis whose standard deviation is below its least."""
    widened: Matrix = covariance + np.diag(np.maximum(0.0, least**2 - covariance.diagonal()))
    return widened


def least_contributor(front: Sequence[Individual], ref: Point) -> int:
    """Find the place of the individual without which the front has most hypervolume.

    Losses count in parts of their ranges on the front, and the reference point is one range beyond the worst.
    DEAP's own, ``ref``, is 1 beyond the worst: much for an accuracy and little for a number of neurons.
    """
    losses = -np.array([member.fitness.wvalues for member in front])
    spread = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    return int(np.argmin(moocore.hv_contributions(scaled, ref=np.full(scaled.shape[1], 2.0))))
