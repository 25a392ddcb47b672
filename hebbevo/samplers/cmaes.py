"""CMA-ES with DEAP's strategies on the unit cube of the genes, for one objective or for several."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import moocore
import numpy as np
from deap import cma, tools
from numpy.typing import NDArray

from hebbevo.samplers.deap_adapter import Individual, compare
from hebbevo.samplers.knobs import CMAES
from hebbevo.samplers.sampler import Outcome, Point, Sampler
from hebbevo.space.genes import ChoiceGene, Genome, IntGene, Space
from hebbevo.space.knobs import Value

Matrix = NDArray[np.float64]

_FINEST, _WIDEST = 1e-9, 1.0  # steps: finer than any constant is ever set, and as wide as the cube
_FLATTEST = 1e-12  # smallest over largest variance: rounding must not make one negative


class CmaEs(Sampler):
    """Evolution strategies that learn how far, and in which directions, to step.

    With several objectives this is the MO-CMA-ES (Igel, Hansen & Roth, 2007, doi:10.1162/evco.2007.15.1.1;
    Voss, Hansen & Igel, 2010, doi:10.1145/1830483.1830573): every parent has a normal distribution of its
    own. With one objective it is the CMA-ES (Hansen & Ostermeier, 2001, doi:10.1162/106365601750190398):
    there is one normal distribution, around the weighted mean of the better half.

    The axes are those of floats and ints. A step out of the cube is reflected into it, and what is learnt
    from is the reflected step, which is the one that was trained; so neither parents nor means leave the
    cube. Along the axis of an int, a distribution never gets so narrow that it no longer leaves the int's
    value (CMA-ES with margin, Hamano et al., 2022, arXiv:2205.13482, and 2024, arXiv:2212.09260). Choices
    have no directions: a child has those of a parent, or of one of the better half, and each is drawn anew
    with a probability. Inactive genes drift along. The first generation is a Latin hypercube. Nothing is
    learnt from failed trainings.
    """

    knobs = CMAES

    def _set_up(self, settings: Mapping[str, Value]) -> None:
        strategy = _Parents if self.objectives > 1 else _Distribution
        self._axes = _Axes(self.space, float(settings["margin"]))
        self._strategy: _Strategy = strategy(self._axes, float(settings["sigma"]))
        self._redraw = float(settings["redraw"])

    def _ask(self, n: int) -> list[Genome]:
        self._size = n
        rng = self._rng()
        parents = self._strategy.parents(n, rng)
        self._drawn: list[tuple[Point, int | None]] = (
            [self._child(parent, rng) for parent in parents]
            if parents
            else [(point, None) for point in self._first(n, rng)]
        )
        return [self.space.from_unit(point) for point, _ in self._drawn]

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        told = [
            _Member(self._axes.coordinates(point), point, outcome, parent)
            for (point, parent), outcome in zip(self._drawn, outcomes, strict=False)
        ]
        self._strategy.learn(told, self._size)

    def _child(self, parent: int, rng: np.random.Generator) -> tuple[Point, int | None]:
        """Draw a point and name its parent: ``None`` if all that is near was seen and it is from anywhere."""
        drawn: list[Point] = []

        def draw() -> Point:
            point = self._strategy.child(parent, rng)
            choices = self._axes.choices
            anew = rng.random(len(choices)) < self._redraw
            point[choices] = np.where(anew, rng.random(len(choices)), point[choices])
            drawn.append(point)
            return point

        point = self._unseen(draw, rng)
        return point, parent if point is drawn[-1] else None


class _Axes:
    """Which genes have directions, and how narrow a distribution may get along them.

    Attributes:
        numeric: places of the floats and ints.
        choices: places of the genes with choices.
    """

    def __init__(self, space: Space, margin: float) -> None:
        is_choice = np.array([isinstance(gene, ChoiceGene) for gene in space.genes])
        self.numeric, self.choices = np.flatnonzero(~is_choice), np.flatnonzero(is_choice)
        genes = [space.genes[place] for place in self.numeric]
        self._ints = [(axis, gene) for axis, gene in enumerate(genes) if isinstance(gene, IntGene)]
        # an int at an end of its range is left over one edge only
        self._reach = {edges: NormalDist().inv_cdf(1 - margin / edges) for edges in (1, 2)}

    def coordinates(self, point: Point) -> Point:
        """The numeric genes of a point, (axes,); if there are none an idle axis, since DEAP needs one."""
        return point[self.numeric] if len(self.numeric) else np.array([0.5])

    def least(self, centre: Point) -> Point:
        """The smallest standard deviations around ``centre``, both (axes,)."""
        deviations = np.full(len(centre), _FINEST)
        for axis, gene in self._ints:
            edges = [edge for edge in _part(gene, centre[axis]) if 0.0 < edge < 1.0]
            far = max(abs(edge - centre[axis]) for edge in edges)
            deviations[axis] = max(far / self._reach[len(edges)], _FINEST)
        return deviations


class _Member(Individual):
    """The coordinates of a ``point``, for DEAP; ``parent`` is the number of the one it was drawn from."""

    def __init__(self, coordinates: Point, point: Point, outcome: Outcome, parent: int | None) -> None:
        super().__init__(coordinates, outcome)
        self.point = point
        self.parent = parent
        self._ps = "o", parent  # DEAP's word for offspring

    def settle(self, number: int) -> None:
        """Become parent ``number``."""
        self.number = number
        self._ps = "p", number


class _Strategy(ABC):
    """What has been learnt; ``sigma`` is the first step size.

    DEAP's ``generate`` stays unused: it draws a generation at once, from the global random numbers.
    """

    def __init__(self, axes: _Axes, sigma: float) -> None:
        self._axes = axes
        self._sigma = sigma
        self._deap: Any = None

    @abstractmethod
    def parents(self, n: int, rng: np.random.Generator) -> list[int]:
        """Choose the parents of ``n`` children by their numbers; none as long as no training succeeded."""

    @abstractmethod
    def child(self, parent: int, rng: np.random.Generator) -> Point:
        """Draw a point, (dimension,), with the choices of a parent."""

    @abstractmethod
    def learn(self, told: Sequence[_Member], size: int) -> None:
        """Learn from a generation of which ``size`` were asked."""

    def _moved(self, point: Point, centre: Point, step: Point) -> Point:
        moved = point.copy()
        moved[self._axes.numeric] = 1 - abs(1 - (centre + step) % 2)  # reflected, however far it goes
        return moved


class _Parents(_Strategy):
    """MO-CMA-ES: the parents of the first front beget, and who adds least hypervolume has to go.

    A child moves along a few directions of its parent's distribution only: their number is log-uniform, up to
    just over half. Generations are too few to learn a step size that suits all directions at once.
    """

    def parents(self, n: int, rng: np.random.Generator) -> list[int]:
        if self._deap is None:
            return []
        members = self._deap.parents
        front = tools.sortLogNondominated(members, len(members), first_front_only=True)
        return [front[place].number for place in rng.integers(len(front), size=n)]

    def child(self, parent: int, rng: np.random.Generator) -> Point:
        member, sigma, A = (each[parent] for each in (self._deap.parents, self._deap.sigmas, self._deap.A))
        z = rng.standard_normal(len(A))
        moving = int((len(z) // 2 + 2) ** rng.random())
        z[rng.permutation(len(z))[moving:]] = 0.0
        return self._moved(member.point, np.array(member), sigma * A @ z)

    def learn(self, told: Sequence[_Member], size: int) -> None:
        alive = [member for member in told if member.outcome.losses is not None]
        self._adopt([member for member in alive if member.parent is None])
        if self._deap is None:
            return
        born = [member for member in alive if member.parent is not None]
        compare(self._deap.parents + born)
        self._deap.mu = size
        self._deap.update(born)
        self._deap.sigmas = [_bounded(sigma) for sigma in self._deap.sigmas]
        for number, member in enumerate(self._deap.parents):
            member.settle(number)
            self._widen(number, self._axes.least(np.array(member)))

    def _adopt(self, members: list[_Member]) -> None:
        """Take in members that come from nowhere, each with a fresh distribution."""
        if not members:
            return
        fresh = cma.StrategyMultiObjective(members, self._sigma, indicator=_least_contributor)
        if self._deap is None:
            self._deap = fresh
        else:
            for name in ("parents", "sigmas", "A", "invCholesky", "pc", "psucc"):
                getattr(self._deap, name).extend(getattr(fresh, name))
        for number, member in enumerate(self._deap.parents):
            member.settle(number)

    def _widen(self, number: int, least: Point) -> None:
        A: Matrix = self._deap.A[number]
        covariance, least = A @ A.T, least / self._deap.sigmas[number]
        if (covariance.diagonal() < least**2).any():
            self._deap.A[number] = np.linalg.cholesky(_widened(covariance, least))
            self._deap.invCholesky[number] = np.linalg.inv(self._deap.A[number])


class _Distribution(_Strategy):
    """CMA-ES: one normal distribution, updated as soon as enough genomes were drawn from it.

    The first update takes the Latin hypercube, whose weighted mean is where the distribution begins.
    """

    def __init__(self, axes: _Axes, sigma: float) -> None:
        super().__init__(axes, sigma)
        self._fewest = 4 + int(3 * math.log(max(1, len(axes.numeric))))
        self._gathered: list[_Member] = []
        self._donors: list[_Member] = []

    def parents(self, n: int, rng: np.random.Generator) -> list[int]:
        if self._deap is None:
            return []
        return list(rng.choice(len(self._donors), size=n, p=self._deap.weights))

    def child(self, parent: int, rng: np.random.Generator) -> Point:
        step = self._deap.sigma * self._deap.BD @ rng.standard_normal(len(self._deap.BD))
        return self._moved(self._donors[parent].point, self._deap.centroid, step)

    def learn(self, told: Sequence[_Member], size: int) -> None:
        # of what was drawn from anywhere later on, the distribution can make nothing
        self._gathered += [member for member in told if self._deap is None or member.parent is not None]
        alive = [member for member in self._gathered if member.outcome.losses is not None]
        if len(self._gathered) < self._fewest or not alive:
            return
        compare(alive)
        alive.sort(key=lambda member: member.fitness, reverse=True)
        # failed trainings count among those drawn, but are never among the better half
        better = min(len(alive), len(self._gathered) // 2)
        if self._deap is None:
            self._deap = cma.Strategy(alive[0], self._sigma, lambda_=len(self._gathered), mu=better)
            self._deap.centroid = self._deap.weights @ np.array(alive[:better])
        else:
            self._deap.lambda_ = len(self._gathered)
            self._deap.computeParams({"mu": better})
            self._deap.update(alive)
        self._deap.sigma = _bounded(self._deap.sigma)
        self._widen(self._axes.least(self._deap.centroid))
        self._donors = alive[:better]
        self._gathered = []

    def _widen(self, least: Point) -> None:
        covariance = _widened(self._deap.C, least / self._deap.sigma)
        variances, self._deap.B = np.linalg.eigh(covariance)
        self._deap.diagD = np.sqrt(np.maximum(variances, _FLATTEST * variances[-1]))
        self._deap.BD = self._deap.B * self._deap.diagD
        self._deap.C = self._deap.BD @ self._deap.BD.T


def _part(gene: IntGene, u: float) -> tuple[float, float]:
    """The part of [0, 1] in which ``gene`` has the value that it has at ``u``."""
    warp = math.log if gene.log else float
    value, half = gene.from_unit(u), gene.step / 2
    start, end = warp(gene.low - half), warp(gene.values[-1] + half)
    low, high = ((warp(edge) - start) / (end - start) for edge in (value - half, value + half))
    return low, high


def _bounded(sigma: float) -> float:
    return min(max(sigma, _FINEST), _WIDEST)


def _widened(covariance: Matrix, least: Point) -> Matrix:
    """Add independent noise on every axis whose standard deviation is below its least."""
    widened: Matrix = covariance + np.diag(np.maximum(0.0, least**2 - covariance.diagonal()))
    return widened


def _least_contributor(front: Sequence[Individual], ref: Point) -> int:
    """The one without which the front has most hypervolume, its losses in parts of their ranges on the front.

    DEAP's own reference point ``ref`` is 1 beyond the worst, which is much for an accuracy and little for a
    number of neurons; here it is one range beyond.
    """
    losses = -np.array([member.fitness.wvalues for member in front])
    spread = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    return int(np.argmin(moocore.hv_contributions(scaled, ref=np.full(scaled.shape[1], 2.0))))
