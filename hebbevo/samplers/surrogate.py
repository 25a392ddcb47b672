"""NSGA-II on Gaussian processes: what is trained was the best of thousands that were only predicted."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import moocore
import numpy as np
import scipy  # whose parts are imported on first use: the first generation needs none of them
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hebbevo.samplers.gaussian import GaussianProcess
from hebbevo.samplers.knobs import SURROGATE
from hebbevo.samplers.nsga2 import best_of, vary
from hebbevo.samplers.sampler import Outcome, Point, Sampler, penalise, penalised
from hebbevo.space.genes import ChoiceGene, Genome
from hebbevo.space.knobs import Value

Array = NDArray[np.float64]

_FEWEST = 10  # outcomes to learn from
_LEARNED = 300  # outcomes that are learned from at most, which bounds the time of an ask
_POPULATION = 100  # of the search on the model
_HEDGE = 0.1  # part of a generation that owes nothing to the model, which may be wrong
_POWERS = -4.0, 6.0  # between which the bending of a loss is sought; 1 leaves it as it is
_FLAT = 1e-15  # a power that is 0, where growth is that of the logarithm
_LEAST = 1e-300  # variance, whose logarithm is taken
_BEYOND = 3.0  # standard deviations better than the best that a loss can be predicted to be
_PLACES = 4000  # between which bent losses are straightened linearly
_MARGIN = 0.1  # of the reference point beyond the worst of the front, in parts of its extent


class Surrogate(Sampler):
    """The default: a model of the losses is searched first, and only its best are trained.

    A Gaussian process per loss learns from at most 300 outcomes: the best and the latest. The losses are bent
    first, for what counts happens in a corner of their ranges: between 3 and 40 of 256 neurons, between 90
    and 99 % of accuracy. They make a chain (Spyromitros-Xioufis et al., 2016, doi:10.1007/s10994-016-5546-z):
    the last is learned from the genome, one before also from those behind it, since how accurate a network
    is hangs on how many neurons it kept, and only then on the genome.

    NSGA-II runs on the predictions, once as they are and once less a standard deviation. From the two fronts
    nine tenths of a generation are drawn: each time whoever adds most hypervolume to what the model expects
    of the outcomes and to those already drawn. The rest are children of the best outcomes, for where the
    model is wrong.

    Choices are as far apart as they are unequal; an inactive gene lies at one and the same place. The first
    generation is a Latin hypercube. Failed trainings are left out. A constraint is learned like a loss.
    """

    knobs = SURROGATE

    def _set_up(self, settings: Mapping[str, Value]) -> None:
        self._generations = int(settings["model_generations"])
        self._optimism = float(settings["optimism"])
        self._is_choice = np.array([isinstance(gene, ChoiceGene) for gene in self.space.genes])
        self._choices = [
            len(gene.choices) if isinstance(gene, ChoiceGene) else 0 for gene in self.space.genes
        ]
        groups = np.repeat(np.arange(self.space.dimension), np.maximum(self._choices, 1))
        genes = self.space.dimension
        self._losses = [
            _Loss(np.append(groups, genes + np.arange(others))) for others in range(self.objectives)
        ][::-1]
        self._violation = GaussianProcess(groups)
        self._constrained = False
        self._points: list[Point] = []
        self._outcomes: list[Outcome] = []

    def _ask(self, n: int) -> list[Genome]:
        rng = self._rng()
        if len(self._outcomes) < _FEWEST:
            points = self._first(n, rng)
        else:
            import scipy.linalg  # noqa: F401  whose BLAS has to be there to be limited

            with threadpool_limits(1, "blas"):  # faster at this size, and the same on any number of cores
                self._learn()
                promising = self._promising(n - int(_HEDGE * n), rng)
            points = [self._unseen(partial(self._next, promising, rng), rng) for _ in range(n)]
        return [self.space.from_unit(point) for point in points]

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.losses is not None:
                self._points.append(self.space.to_unit(outcome.genome))
                self._outcomes.append(outcome)
                self._constrained |= outcome.violation > 0
        if len(self._outcomes) > _LEARNED:
            best = best_of(penalised(self._outcomes), _LEARNED // 2)
            latest = range(len(self._outcomes) - _LEARNED // 2, len(self._outcomes))
            kept = sorted({*best.tolist(), *latest})
            self._points = [self._points[row] for row in kept]
            self._outcomes = [self._outcomes[row] for row in kept]

    def _learn(self) -> None:
        x = seen = self._columns(np.array(self._points))
        losses = np.array([outcome.losses for outcome in self._outcomes])
        for model, loss in reversed([*zip(self._losses, losses.T, strict=True)]):
            x = np.column_stack([x, model.fit(x, loss)])
        if self._constrained:
            violation = np.array([outcome.violation for outcome in self._outcomes])
            self._violation.fit(seen, violation)

    def _promising(self, n: int, rng: np.random.Generator) -> list[Point]:
        """Choose ``n`` points, whoever adds most hypervolume next, then who is best."""
        known = np.array(self._points)
        start = known[best_of(penalised(self._outcomes), _POPULATION)]
        expected = self._as_losses(self._predict(known, optimism=0.0))
        front = expected[best_of(expected, _POPULATION)]
        reference = _reference(front)
        chosen: list[Point] = []
        for optimism, share in ((0.0, n - n // 2), (self._optimism, n // 2)):
            points, predicted = self._search(start, optimism, rng)
            losses = self._as_losses(predicted)
            rows = most_hypervolume(losses, front, reference, share)
            # with one objective, or where all miss a constraint, only the best adds hypervolume
            rows += [row for row in range(len(points)) if row not in rows][: share - len(rows)]
            chosen += [points[row] for row in rows]
            front = np.vstack([front, losses[rows]])
        return chosen

    def _search(self, points: Array, optimism: float, rng: np.random.Generator) -> tuple[Array, Array]:
        """Evolve ``points`` on the model; give the last population, best first, and what `_predict` says."""
        losses = self._predict(points, optimism)
        for _ in range(self._generations):
            children = self.space.settled(vary(points, _POPULATION, self._is_choice, rng))
            points = np.concatenate([points, children])
            losses = np.concatenate([losses, self._predict(children, optimism)])
            points, losses = _without_twins(points, losses)
            best = best_of(losses, _POPULATION)
            points, losses = points[best], losses[best]
        return points, losses

    def _predict(self, points: Array, optimism: float) -> Array:
        """Predict the bent losses, (n, objectives)."""
        x = seen = self._columns(points)
        predicted = []
        for model in reversed(self._losses):
            expected, hopeful = model.predict(x, optimism)
            predicted.append(hopeful)
            x = np.column_stack([x, expected])
        losses: Array = np.column_stack(predicted[::-1])
        if self._constrained:
            _, violation = self._violation.predict(seen, optimism)
            return penalise(losses, violation)
        return losses

    def _as_losses(self, predicted: Array) -> Array:
        losses: Array = np.column_stack(
            [model.as_loss(column) for model, column in zip(self._losses, predicted.T, strict=True)]
        )
        return losses

    def _columns(self, points: Array) -> Array:
        """What the models see: an axis as it is, a choice as the corner of a simplex with edges of 1."""
        columns = [
            _corners(axis, choices) if choices else axis[:, None]
            for axis, choices in zip(points.T, self._choices, strict=True)
        ]
        joined: Array = np.concatenate(columns, axis=1)
        return joined

    def _next(self, promising: list[Point], rng: np.random.Generator) -> Point:
        """The next of the promising points; when there are no more, a child of the best outcomes."""
        if promising:
            return promising.pop(0)
        best = best_of(penalised(self._outcomes), _POPULATION // 2)
        child: Point = vary(np.array(self._points)[best], 1, self._is_choice, rng)[0]
        return child


class _Loss:
    """A Gaussian process over a loss that is bent until it is as good as normally distributed.

    The transformation is that of Yeo & Johnson (2000, doi:10.1093/biomet/87.4.954). Bent losses are in parts
    of the range of those that were learned from.
    """

    def __init__(self, groups: NDArray[np.intp]) -> None:
        self._process = GaussianProcess(groups)

    def fit(self, x: Array, losses: Array) -> Array:
        """Learn from inputs (n, columns) and losses (n,), which are returned bent."""
        mean, sd = losses.mean(), losses.std() or 1.0
        standard = (losses - mean) / sd
        power = _straightening(standard) if np.ptp(losses) else 1.0
        bent = _bent(standard, power)
        best, extent = bent.min(), np.ptp(bent) or 1.0
        places = np.linspace(standard.min() - _BEYOND, standard.max(), _PLACES)
        self._bent, self._straight = (
            (_bent(places, power) - best) / extent,
            mean + sd * places,
        )
        learned: Array = (bent - best) / extent
        self._process.fit(x, learned)
        return learned

    def predict(self, x: Array, optimism: float) -> tuple[Array, Array]:
        """Predict the bent loss, as `GaussianProcess.predict`."""
        return self._process.predict(x, optimism)

    def as_loss(self, bent: Array) -> Array:
        """Straighten what was predicted."""
        straight: Array = np.interp(bent, self._bent, self._straight)
        return straight


def _bent(standard: Array, power: float) -> Array:
    """The transformation of Yeo & Johnson of (n,) values."""
    sizes = np.log1p(np.abs(standard))
    powers = np.where(standard < 0, 2 - power, power)
    grown = np.divide(np.expm1(powers * sizes), powers, out=sizes.copy(), where=np.abs(powers) > _FLAT)
    bent: Array = np.copysign(grown, standard)
    return bent


def _straightening(standard: Array) -> float:
    """The power of the transformation after which (n,) values are closest to normal: of most likelihood."""
    stretch = np.copysign(np.log1p(np.abs(standard)), standard).mean()

    def misfit(power: float) -> float:
        variance = max(_bent(standard, power).var(), _LEAST)
        return math.log(variance) / 2 - (power - 1) * float(stretch)

    return float(scipy.optimize.minimize_scalar(misfit, bounds=_POWERS, method="bounded").x)


def _without_twins(points: Array, losses: Array) -> tuple[Array, Array]:
    """Sort (n, dimension) points and their losses, and keep the first of those that are equal."""
    order = np.lexsort(points.T[::-1])
    points = points[order]
    other = np.append(True, (points[1:] != points[:-1]).any(axis=1))
    return points[other], losses[order[other]]


def most_hypervolume(losses: Array, front: Array, reference: Array, k: int) -> list[int]:
    """Choose up to ``k`` rows of (n, objectives), each the one that adds most hypervolume to all before it.

    ``front`` is there from the start. Rows that add nothing are not chosen. What a row adds can only fall as
    others are chosen, so that a row is measured again only when it comes first (Minoux, 1978).
    """
    volume_of = _volume(reference)
    chosen: list[int] = []
    known = np.vstack([front, losses])
    there, volume = len(front), volume_of(front)
    waiting = [(-math.inf, row) for row in range(len(losses))]
    while waiting and len(chosen) < k:
        _, row = heapq.heappop(waiting)
        known[there] = losses[row]
        gain = volume_of(known[: there + 1]) - volume
        if waiting and gain < -waiting[0][0]:
            heapq.heappush(waiting, (-gain, row))
        elif gain <= 0:
            break
        else:
            chosen.append(row)
            there, volume = there + 1, volume + gain
    return chosen


def _volume(reference: Array) -> Callable[[Array], float]:
    """How to measure the hypervolume of (n, objectives)."""
    if len(reference) == 1:
        return lambda losses: float(max(reference[0] - losses.min(), 0.0))
    measure: Callable[[Array], float] = moocore.Hypervolume(reference)
    return measure


def _reference(losses: Array) -> Array:
    front = losses[moocore.is_nondominated(losses)] if losses.shape[1] > 1 else losses.min(keepdims=True)
    worst: Array = front.max(axis=0) + _MARGIN * (np.ptp(front, axis=0) + np.ptp(losses, axis=0))
    return worst


def _corners(axis: Array, choices: int) -> Array:
    part = np.minimum((axis * choices).astype(int), choices - 1)
    corners: Array = np.eye(choices)[part] / np.sqrt(2)
    return corners
