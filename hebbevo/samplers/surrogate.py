"""NSGA-II on a model of the losses: of thousands of genomes that were predicted, the best are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hebbevo.samplers.hypervolume_selection import most_hypervolume, reference_point
from hebbevo.samplers.knobs import SURROGATE
from hebbevo.samplers.nsga2 import best_of, vary
from hebbevo.samplers.regressor_chain import RegressorChain
from hebbevo.samplers.sampler import Outcome, Sampler, penalised
from hebbevo.samplers.unit_cube import Point
from hebbevo.space import ChoiceGene, Genome
from hebbevo.space.knobs import Scalar

Array = NDArray[np.float64]

_FEWEST = 10  # outcomes before there is a model
_MOST = 300  # outcomes that the model learns from, which bounds the time of an ask

_POPULATION = 100  # of the search on the model
_UNMODELLED = 0.1  # the part of a generation that is chosen without the model, which may be wrong
_MARGIN = 0.1  # between the front and the reference point


class Surrogate(Sampler):
    """The default sampler: it searches a model of the losses, and proposes the best that it finds there.

    The model (`RegressorChain`) learns from at most 300 outcomes: the best and the latest. NSGA-II searches
    it twice: for the expected losses, and for a lower confidence bound, the expected losses less ``optimism``
    standard deviations. Nine tenths of a generation come from the two fronts, half from each. They are chosen
    point by point: the next is the one that adds most hypervolume to the front that the model expects of the
    outcomes, and to the points chosen before it. The rest are children of the best outcomes, for where the
    model is wrong.

    Any two choices are as far apart; an inactive gene lies at one and the same place. The first generation is
    a Latin hypercube. Failed trainings are left out. A constraint is learned like a loss. The model learns
    losses in parts of their ranges, so that rescaling a loss changes no proposal.

    Attributes:
        outcomes: the outcomes that the model learns from.
    """

    knobs = SURROGATE
    defaults_before: ClassVar[Mapping[int, Mapping[str, Scalar]]] = {
        3: {"model_generations": 60},
        4: {"fit_tolerance": 1e-4},
    }
    learns_after = _FEWEST

    def _set_up(self, settings: Mapping[str, Scalar]) -> None:
        self._generations = int(settings["model_generations"])
        self._optimism = float(settings["optimism"])
        self._is_choice = np.array([isinstance(gene, ChoiceGene) for gene in self.space.genes])
        self._model = RegressorChain(self.space, self.objectives, float(settings["fit_tolerance"]))
        # whether any outcome violated a constraint: without one there is nothing to learn about constraints
        self._constrained = False
        self._points: list[Point] = []
        self.outcomes: list[Outcome] = []

    def prepare(self) -> None:
        """See `Sampler.prepare`."""
        import scipy.linalg  # its BLAS has to be loaded before it can be limited
        import scipy.optimize  # noqa: F401

    def _ask(self, n: int) -> list[Genome]:
        rng = self._rng()
        if len(self.outcomes) < _FEWEST:
            points = self._latin_hypercube(n, rng)
        else:
            self.prepare()
            # one thread is faster at this size, and gives the same sums on any number of cores
            with threadpool_limits(1, "blas"):
                self._fit()
                best = self.best_on_model(n - int(_UNMODELLED * n), rng)
            points = [self._unseen(partial(self._next, best, rng), rng) for _ in range(n)]
        return [self.space.from_unit(point) for point in points]

    def _fit(self) -> None:
        losses = np.array([outcome.losses for outcome in self.outcomes])
        violation = np.array([outcome.violation for outcome in self.outcomes])
        self._model.fit(np.array(self._points), losses, violation if self._constrained else None)

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.losses is not None:
                self._points.append(self.space.to_unit(outcome.genome))
                self.outcomes.append(outcome)
                self._constrained |= outcome.violation > 0
        if len(self.outcomes) > _MOST:
            best = best_of(penalised(self.outcomes), _MOST // 2)
            latest = range(len(self.outcomes) - _MOST // 2, len(self.outcomes))
            kept = sorted({*best.tolist(), *latest})
            self._points = [self._points[row] for row in kept]
            self.outcomes = [self.outcomes[row] for row in kept]

    def best_on_model(self, n: int, rng: np.random.Generator) -> list[Point]:
        """Choose ``n`` points of the fronts of the model, of which each adds most hypervolume in its turn."""
        known = np.array(self._points)
        start = known[best_of(penalised(self.outcomes), _POPULATION)]
        # the model's own view of the outcomes, which has no noise, is what its predictions are compared with
        expected = self._model.as_losses(self._model.predict(known, optimism=0.0))
        front = expected[best_of(expected, _POPULATION)]
        reference = reference_point(front, _MARGIN)
        chosen: list[Point] = []
        for optimism, share in ((0.0, n - n // 2), (self._optimism, n // 2)):
            points, predicted = self._search(start, optimism, rng)
            losses = self._model.as_losses(predicted)
            rows = most_hypervolume(losses, front, reference, share)
            # with one objective, or where all violate a constraint, only the best adds hypervolume
            rows += [row for row in range(len(points)) if row not in rows][: share - len(rows)]
            chosen += [points[row] for row in rows]
            front = np.vstack([front, losses[rows]])
        return chosen

    def _search(self, points: Array, optimism: float, rng: np.random.Generator) -> tuple[Array, Array]:
        """Evolve points on the model; return the last population, best first, and its predictions."""
        predicted = self._model.predict(points, optimism)
        for _ in range(self._generations):
            # snapped, so that two points of one genome are equal, and only one of them stays
            children = self.space.snap(vary(points, _POPULATION, self._is_choice, rng))
            points = np.concatenate([points, children])
            predicted = np.concatenate([predicted, self._model.predict(children, optimism)])
            points, predicted = without_duplicates(points, predicted)
            best = best_of(predicted, _POPULATION)
            points, predicted = points[best], predicted[best]
        return points, predicted

    def _next(self, best: list[Point], rng: np.random.Generator) -> Point:
        """Take the next of the best points; when there are no more, make a child of the best outcomes."""
        if best:
            return best.pop(0)
        parents = best_of(penalised(self.outcomes), _POPULATION // 2)
        child: Point = vary(np.array(self._points)[parents], 1, self._is_choice, rng)[0]
        return child


def without_duplicates(points: Array, predicted: Array) -> tuple[Array, Array]:
    """Sort points, (n, dimension), with their predictions, and keep the first of those that are equal."""
    order = np.lexsort(points.T[::-1])
    points = points[order]
    first = np.append(True, (points[1:] != points[:-1]).any(axis=1))
    return points[first], predicted[order[first]]
