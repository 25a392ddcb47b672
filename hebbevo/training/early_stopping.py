"""Early stopping: a training goes on only while the improvement that it may still bring is worth its epochs.

Nets that lose their neurons late look bad early. So a net is not compared with the present state of others.
Its final accuracy and survivors are predicted from the trials of earlier generations that trained to the end.
The nets of its own cohort play no part, so a decision is the same on any number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hebbevo.objectives.goal import Goal
from hebbevo.objectives.improvement import HypervolumeImprovement
from hebbevo.objectives.pareto import front

Array = NDArray[np.float64]

_RUNGS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75)  # as parts of all epochs
_FEWEST_TRIALS = 20  # finished trials below which no net is stopped
_MOST_TRIALS = 200  # finished trials to learn from, the latest
_HALF_LIFE = 50.0  # trials after which the weight of a finished trial has halved: the sampler moves on
_MOST_HALF_LIVES = 20.0  # older trials lose no more weight
_STRICTNESS = 4.5
# variances of the parts of the regression, where that of the Gaussian kernel is 1
_LINEAR_VARIANCE = 3.0
_NOISE_VARIANCE = 0.1  # of final values that no feature explains
_TINY = 1e-9  # spreads and variances below it are rounding
_ODDS_OFFSET = 0.01  # keeps log odds finite at accuracies of 0 and 1
_REFERENCE_FACTOR = 1.1  # reference point in survivors: with all neurons, a net still has some hypervolume


@dataclass(frozen=True)
class Trajectory:
    """What a trial reached after each epoch, as means over its replicates.

    Attributes:
        accuracy: 0..1 after each epoch; a trial that was stopped has fewer values than a whole training.
        survivors: number of survivors after each epoch, of the same length.
        further: the same of what is counted beside survivors.
    """

    accuracy: tuple[float, ...]
    survivors: tuple[float, ...]
    further: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Decision:
    """What an `EarlyStopper` decides about one net at a rung.

    Attributes:
        predicted_final: predicted accuracy, survivors and further counts after the last epoch; NaN if the net
            has failed.
        stopped: whether the net stops here. Its prediction is then no better than a finished trial, or than
            chance.
    """

    predicted_final: tuple[float, ...]
    stopped: bool


class EarlyStopper:
    """Decides at its rungs which nets of a generation stop. Small, and can be pickled.

    The criterion is a net's expected improvement, E[I] over the residuals of the predictions of finished
    trials. The improvement I is that of the single loss (Jones et al., 1998, doi:10.1023/A:1008306431147,
    eq. 14). With two objectives, it is the square root of the increase in hypervolume, which is an area
    (Emmerich et al., 2006, doi:10.1109/TEVC.2005.859463); with three, the cube root of a volume.

    A net goes on if its expected improvement is at least ``strictness`` times the mean of the finished
    trials at the same age. Below that it goes on with a probability in proportion, as in Russian roulette
    (Kahn, 1956). So where little can be predicted, nets of every kind are thinned out instead of all being
    stopped, and the finished trials remain a sample of every kind. The random draw is a hash of the net's
    first epochs. It is the same at all rungs, so passing one rung does not lower the chances at the next.

    Attributes:
        rungs: epochs after which nets are judged, 1 is the first; empty while too few trials have finished.
        explained: by rung, the part of the variance of the final values that the predictions explain, 0..1.
            Where it is small, predictions should not reach a sampler, which would learn from noise.
    """

    def __init__(
        self, predictors: Mapping[int, _Predictor], best: _BestTrials, strictness: float, salt: bytes
    ) -> None:
        self.rungs = tuple(predictors)
        self.explained = {rung: predictor.explained for rung, predictor in predictors.items()}
        self._predictors = predictors
        self._best = best
        self._salt = salt
        self._thresholds = {
            rung: strictness
            * predictor.weights
            @ self._expected_improvement(predictor, predictor.leave_one_out)
            for rung, predictor in predictors.items()
        }

    @classmethod
    def of(
        cls,
        history: Sequence[Trajectory],
        epochs: int,
        neurons: int,
        chance: float = 0.0,
        goal: Goal | None = None,
        strictness: float = _STRICTNESS,
        further: Sequence[int] = (),
    ) -> EarlyStopper:
        """Learn from the trials of all earlier generations.

        Args:
            history: finished and stopped trials in their order; of failed trials, at least one value must
                not be finite.
            epochs: epochs of a whole training.
            neurons: hidden neurons, or connections, of a net before any is pruned.
            chance: accuracy of a guess, which is worth nothing.
            goal: what the search is for; by default the trade-off of accuracy and survivors.
            strictness: 0 stops no net; from 1 on, a net of mean expected improvement goes on with
                probability 1 / strictness.
            further: the same as ``neurons`` of each further count.
        """
        finished = [number for number, each in enumerate(history) if len(each.accuracy) == epochs]
        whole = (history[number] for number in finished)
        paths = np.array([[each.accuracy, each.survivors, *each.further] for each in whole])
        paths = paths.reshape(-1, 2 + len(further), epochs)
        finite = np.isfinite(paths).all(axis=(1, 2))
        paths, ages = paths[finite], len(history) - np.array(finished, dtype=float)[finite]
        reference = chance, *(_REFERENCE_FACTOR * most for most in (neurons, *further))
        best = _BestTrials(goal or Goal(), [*paths[:, :, -1].T], reference)
        half_lives = np.minimum(ages[-_MOST_TRIALS:] / _HALF_LIFE, _MOST_HALF_LIVES)
        paths, weights = paths[-_MOST_TRIALS:], 0.5**half_lives
        predictors = {
            rung: _Predictor(paths.swapaxes(0, 1), weights / weights.mean(), rung, (neurons, *further))
            for rung in sorted({max(1, round(part * epochs)) for part in _RUNGS})
            if rung < epochs and len(paths) >= _FEWEST_TRIALS
        }
        # otherwise equal first epochs would have equal draws in every generation
        salt = len(history).to_bytes(8, "big")
        return cls(predictors, best, strictness, salt)

    def decide(self, accuracy: Array, survivors: Array, *further: Array) -> list[Decision]:
        """Decide about k nets at a rung.

        Args:
            accuracy: accuracy after each epoch up to the rung, (k, rung).
            survivors: survivors after each epoch, likewise.
            further: further counts after each epoch, likewise.

        Returns:
            A decision for each net. A net with a value that is not finite has failed, and is not stopped.

        Raises:
            KeyError: the number of epochs is not one of `rungs`.
        """
        paths = [np.ascontiguousarray(each, dtype=float) for each in (accuracy, survivors, *further)]
        rung = paths[0].shape[1]
        predictor = self._predictors[rung]
        finite = np.isfinite(np.hstack(paths)).all(axis=1)
        finals = np.full((len(finite), len(paths)), np.nan)
        stopped = np.zeros(len(finite), dtype=np.bool_)
        if finite.any():
            own = [each[finite] for each in paths]
            predicted = predictor(own)
            measures = predictor.measures(predicted)
            thresholds = self._thresholds[rung] * self._draws(own)
            finals[finite] = np.stack(measures, axis=1)
            hopeless = self._expected_improvement(predictor, predicted) < thresholds
            # a net whose prediction improves on the finished trials goes on, whatever its draw
            stopped[finite] = hopeless & (self._best.improvement(measures) <= 0)
        return [
            Decision(tuple(final), stop)
            for final, stop in zip(finals.tolist(), stopped.tolist(), strict=True)
        ]

    def _expected_improvement(self, predictor: _Predictor, predicted: Array) -> Array:
        """E[I] of each net, (k,): the weighted mean over predictions plus the residuals of each trial."""
        possible = predictor.measures(predicted[:, None] + predictor.residuals)
        mean = (self._best.improvement(possible) * predictor.weights).sum(axis=1)
        expected: Array = mean ** (1 / self._best.dimension)
        return expected

    def _draws(self, paths: Sequence[Array]) -> Array:
        """A number in [0, 1) for each net, (k,): a hash of its epochs up to the first rung."""
        first = self.rungs[0]
        beginnings = np.concatenate([each[:, :first] for each in paths], axis=1)
        rounded = beginnings.round(6) + 0.0  # machines differ in the last bits; + 0.0 turns -0.0 into 0.0
        digests = [blake2b(row.tobytes(), digest_size=8, key=self._salt).digest() for row in rounded]
        return np.array([int.from_bytes(digest, "big") for digest in digests]) / 2.0**64


class _Predictor:
    """Predicts the final values of a training from its first epochs, by kernel ridge regression.

    That is the mean of a Gaussian process (Rasmussen & Williams, 2006, eq. 2.25) with a Gaussian and a linear
    kernel. Final values are in the units of `_transformed`.

    Attributes:
        weights: weight of each finished trial, (n,), with sum 1.
        leave_one_out: prediction for each finished trial from all others, (n, measures).
        residuals: final values minus these predictions, (n, measures).
        explained: explained part of the variance of the final values, 0..1, of the measure for which it is
            smallest.

    Args:
        paths: measures of finished trials after each epoch, (measures, n, epochs): accuracy and counts.
        weights: weight of each trial, (n,), with mean 1.
        rung: number of epochs from which to predict.
        largest: largest possible value of each count.
    """

    def __init__(self, paths: Array, weights: Array, rung: int, largest: Sequence[int]) -> None:
        self.weights = weights / len(weights)
        self._largest = largest
        finals = np.stack(_transformed([each[:, -1] for each in paths]), axis=1)
        features = _features([each[:, :rung] for each in paths])
        self._centre, spread = features.mean(axis=0), features.std(axis=0)
        self._scale = np.where(spread > _TINY, spread, 1.0)
        self._x = (features - self._centre) / self._scale
        self._mean = self.weights @ finals
        # alpha = (K + noise)^-1 y, eq. 2.25; a trial of half the weight has twice the noise
        inverse = np.linalg.inv(_kernel(self._x, self._x) + np.diag(_NOISE_VARIANCE / weights))
        self._alpha = inverse @ (finals - self._mean)
        # y_i - mu_i = alpha_i / [(K + noise)^-1]_ii, eq. 5.12: no trial is fitted anew
        self.residuals = self._alpha / np.diag(inverse)[:, None]
        self.leave_one_out = finals - self.residuals
        unexplained, variance = (
            self.weights @ np.square(each) for each in (self.residuals, finals - self._mean)
        )
        self.explained = float(np.clip(1 - unexplained / np.maximum(variance, _TINY), 0.0, 1.0).min())

    def __call__(self, paths: Sequence[Array]) -> Array:
        """Predict the final values of k nets, (k, measures), from their first epochs, (k, rung) each."""
        kernel = _kernel((_features(paths) - self._centre) / self._scale, self._x)
        # not a matrix product, whose rounding for one net depends on how many others there are
        predicted: Array = self._mean + np.stack(
            [(kernel * each).sum(axis=1) for each in self._alpha.T], axis=1
        )
        return predicted

    def measures(self, transformed: Array) -> list[Array]:
        """Accuracy and counts, each (...), of transformed values (..., measures): inverts `_transformed`."""
        odds = np.exp(np.clip(transformed[..., 0], -50.0, 50.0))
        accuracy: Array = np.clip((odds * (1 + _ODDS_OFFSET) - _ODDS_OFFSET) / (1 + odds), 0.0, 1.0)
        counts = [
            np.expm1(np.clip(transformed[..., place], 0.0, math.log1p(most)))
            for place, most in enumerate(self._largest, start=1)
        ]
        return [accuracy, *counts]


class _BestTrials:
    """The best of the finished trials, and how much other values would improve on them.

    Attributes:
        dimension: number of losses, from 1 to 3.

    Args:
        goal: what the search is for.
        finals: final value of each measure of the finished trials, (n,) each.
        reference: measures of the reference point of the hypervolume.
    """

    def __init__(self, goal: Goal, finals: Sequence[Array], reference: tuple[float, ...]) -> None:
        self._goal = goal
        # a trial that meets the constraints is better than any that does not; as long as none does, the only
        # loss is how far a trial is outside them
        self._some_feasible = bool((self._violation(finals) <= 0).any())
        losses = self._losses(finals)
        self.dimension = len(losses)
        valid = self._valid(finals)
        if self.dimension == 1:
            self._least = losses[0][valid].min(initial=np.inf)
            return
        worst = goal.losses(reference)
        points = np.stack([loss[valid] for loss in losses], axis=1)
        points = points[(points < worst).all(axis=1)]
        points = points[front(points * [-1.0, *[1.0] * (self.dimension - 1)])]
        self._increase = HypervolumeImprovement(points, worst)

    def improvement(self, measures: Sequence[Array]) -> Array:
        """How much each set of values would increase the hypervolume or lower the least loss, (...)."""
        losses = self._losses(measures)
        if self.dimension == 1:
            improvements = np.maximum(self._least - losses[0], 0.0)
        else:
            improvements = self._increase(losses)
        return np.where(self._valid(measures), improvements, 0.0)

    def _losses(self, measures: Sequence[Array]) -> tuple[Array, ...]:
        """The losses of each set of values: those of the goal, or the distance from its constraints."""
        if not self._some_feasible:
            return (self._violation(measures),)
        of_arrays: Any = self._goal.losses  # sums and products only, so it takes arrays too
        losses: tuple[Array, ...] = of_arrays(measures)
        return losses

    def _valid(self, measures: Sequence[Array]) -> NDArray[np.bool_]:
        """Which sets of values count: those that meet the constraints, or all while no trial does."""
        return (self._violation(measures) <= 0) | (not self._some_feasible)

    def _violation(self, measures: Sequence[Array]) -> Array:
        """`Goal.violation` of each set of values."""
        by_measure = self._goal.distances(measures).values()
        distances = [distance for each in by_measure for distance in each]
        worst: Array = np.max(distances, axis=0) if distances else np.zeros_like(measures[0])
        return worst


def _features(paths: Sequence[Array]) -> Array:
    """Last value, mean of the last three and mean of all, of each measure, (k, columns)."""
    return np.stack(
        [part.mean(axis=1) for each in _transformed(paths) for part in (each[:, -1:], each[:, -3:], each)],
        axis=1,
    )


def _transformed(measures: Sequence[Array]) -> list[Array]:
    """Log odds of accuracies and logarithms of counts: equal steps mean the same along a whole front."""
    accuracy, *counts = measures
    right = np.clip(accuracy, 0.0, 1.0)
    log_odds = np.log((right + _ODDS_OFFSET) / (1 - right + _ODDS_OFFSET))
    return [log_odds, *(np.log1p(np.maximum(count, 0.0)) for count in counts)]


def _kernel(a: Array, b: Array) -> Array:
    """The kernel (k, n) of features (k, columns) and (n, columns).

    The Gaussian part learns from similar trials; the linear part extrapolates beyond all of them.
    """
    difference = a[:, None] - b
    gaussian = np.exp(-(difference * difference).mean(axis=-1) / 2)
    kernel: Array = gaussian + _LINEAR_VARIANCE * (a[:, None] * b).mean(axis=-1)
    return kernel
