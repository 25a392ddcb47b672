"""Early stopping: a training goes on while what it may still reach is worth its epochs.

Nets that shed their neurons late look bad early, so a net is not compared with what others are but with where
it is heading. That is learned from the trials of earlier generations that went on to the end, at equal age.
Nobody is judged by the nets beside it: a verdict is the same on any number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hebbevo.objectives.goal import MEASURES, Goal
from hebbevo.objectives.pareto import front

Array = NDArray[np.float64]

_RUNGS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75)  # of the epochs
_ENOUGH = 20  # finished trials to learn from
_MOST = 200  # that are learned from
_HALF_LIFE = 50.0  # trials after which one counts half: the sampler moves on
_OLDEST = 20.0  # half-lives; what is older counts no less
_STRICTNESS = 4.5
_TREND = 3.0  # variance of what leads on in a line, in parts of what bends within a standard deviation
_NOISE = 0.1  # variance of the ends that nothing tells, likewise
_TINY = 1e-9  # what is less is rounding
_ODDS = 0.01  # keeps the logarithms of odds finite
_ROOM = 1.1  # times all neurons: the worst survivors, or nets that keep them all would have no worth


@dataclass(frozen=True)
class Trajectory:
    """What a trial reached after each epoch, as means over its replicates.

    Attributes:
        accuracy: 0..1; fewer of them than the epochs of a whole training if the trial was stopped.
        survivors: as many.
    """

    accuracy: tuple[float, ...]
    survivors: tuple[float, ...]


@dataclass(frozen=True)
class Decision:
    """What is thought of a net at a rung.

    Attributes:
        heading: the (accuracy, survivors) it is expected to end with; NaN if it has failed.
        stopped: whether it is not worth to go on, heading for no better than a finished trial or chance.
    """

    predicted_final: tuple[float, float]
    stopped: bool


class EarlyStopper:
    """What nets of a generation are judged by: the trials of earlier ones. Small, and can be pickled.

    A net's hope is how far it may get beyond the finished trials: its expected improvement of the hypervolume
    (Emmerich et al., 2006, doi:10.1109/TEVC.2005.859463), an area that is taken by its root, or of the single
    loss. The expectation is over all that was amiss in the forecasts for finished trials. A net with
    ``strictness`` times the hope that these had at its age goes on; others go on with a chance in proportion
    to their hope, as in Russian roulette (Kahn, 1956). So where nothing can be told yet, trials are thinned
    out and not stopped all alike, and those that are learned from stay a sample of every kind. The lot is
    drawn from the net's own beginnings, once: it has to pass all rungs with the same.

    Attributes:
        rungs: epochs after which nets are judged, 1 the first; none while too few trials have finished.
        known: how much the headings at each rung tell, 0..1: the part of the variance of the ends that the
            forecasts explain. A sampler that is told of headings that tell little learns what is not so.
    """

    def __init__(
        self, forecasts: Mapping[int, _Forecast], best: _Best, strictness: float, salt: bytes
    ) -> None:
        self.rungs = tuple(forecasts)
        self.known = {rung: forecast.known for rung, forecast in forecasts.items()}
        self._forecasts = forecasts
        self._best = best
        self._salt = salt
        self._bars = {
            rung: strictness * forecast.weights @ self._hopes(forecast, forecast.blind)
            for rung, forecast in forecasts.items()
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
    ) -> EarlyStopper:
        """Learn from the trials of all earlier generations, in their order.

        Args:
            history: of finished and stopped trials; of failed ones only if they are not finite.
            epochs: of a whole training.
            neurons: of a net before any is out.
            chance: accuracy that is worth nothing.
            goal: what the search is for; by default the trade-off.
            strictness: 0 stops nobody; from 1, a net of ordinary hope goes on with chance 1 / strictness.
        """
        whole = [place for place, each in enumerate(history) if len(each.accuracy) == epochs]
        paths = np.array([[history[place].accuracy, history[place].survivors] for place in whole])
        paths = paths.reshape(-1, 2, epochs)
        finite = np.isfinite(paths).all(axis=(1, 2))
        paths, ages = paths[finite], len(history) - np.array(whole, dtype=float)[finite]
        best = _Best(goal or Goal(), paths[:, 0, -1], paths[:, 1, -1], (chance, _ROOM * neurons))
        paths, weights = paths[-_MOST:], 0.5 ** np.minimum(ages[-_MOST:] / _HALF_LIFE, _OLDEST)
        forecasts = {
            rung: _Forecast(paths[:, 0], paths[:, 1], weights / weights.mean(), rung, neurons)
            for rung in sorted({max(1, round(part * epochs)) for part in _RUNGS})
            if rung < epochs and len(paths) >= _ENOUGH
        }
        salt = len(history).to_bytes(8, "big")  # or equal beginnings had equal lots in every generation
        return cls(forecasts, best, strictness, salt)

    def judge(self, accuracy: Array, survivors: Array) -> list[Decision]:
        """Judge k nets at a rung by the accuracy and the survivors after each epoch, both (k, rung).

        A net whose numbers are not finite has failed, and is left to that.
        """
        accuracy, survivors = (np.ascontiguousarray(each, dtype=float) for each in (accuracy, survivors))
        rung = accuracy.shape[1]
        forecast = self._forecasts[rung]
        sound = np.isfinite(np.hstack([accuracy, survivors])).all(axis=1)
        headings = np.full((len(accuracy), 2), np.nan)
        stopped = np.zeros(len(accuracy), dtype=np.bool_)
        if sound.any():
            expected = forecast(accuracy[sound], survivors[sound])
            reached = forecast.values(expected)
            bars = self._bars[rung] * self._lots(accuracy[sound], survivors[sound])
            headings[sound] = np.stack(reached, axis=1)
            stopped[sound] = (self._hopes(forecast, expected) < bars) & (self._best.gain(*reached) <= 0)
        return [
            Decision((heading[0], heading[1]), stop)
            for heading, stop in zip(headings.tolist(), stopped.tolist(), strict=True)
        ]

    def _hopes(self, forecast: _Forecast, expected: Array) -> Array:
        likely = forecast.values(expected[:, None] + forecast.misses)
        hopes: Array = (self._best.gain(*likely) * forecast.weights).sum(axis=1) ** (1 / self._best.dimension)
        return hopes

    def _lots(self, accuracy: Array, survivors: Array) -> Array:
        """Numbers from 0 to 1 that look random, (k,)."""
        beginnings = np.concatenate([accuracy[:, : self.rungs[0]], survivors[:, : self.rungs[0]]], axis=1)
        rounded = beginnings.round(6) + 0.0  # machines differ in the last bits
        digests = [blake2b(row.tobytes(), digest_size=8, key=self._salt).digest() for row in rounded]
        return np.array([int.from_bytes(digest, "big") for digest in digests]) / 2.0**64


class _Forecast:
    """Kernel ridge regression of the end of a training on its trajectory up to a rung.

    Attributes:
        weights: (n,), in sum 1, of the trials that it was learned from.
        blind: (n, 2), what would be expected of each if it were not known.
        misses: (n, 2), by how much each ended elsewhere; both in the units of `_stretched`.
        known: part of the variance of the ends that was expected, 0..1, of accuracy or survivors the smaller.

    Args:
        accuracy: (n, epochs), of whole trainings.
        survivors: (n, epochs).
        weights: (n,), of mean 1.
        rung: epochs that are looked at.
        neurons: the most survivors there can be.
    """

    def __init__(self, accuracy: Array, survivors: Array, weights: Array, rung: int, neurons: int) -> None:
        self.weights = weights / len(weights)
        self._neurons = neurons
        ends = np.stack(_stretched(accuracy[:, -1], survivors[:, -1]), axis=1)
        features = _features(accuracy[:, :rung], survivors[:, :rung])
        self._centre, spread = features.mean(axis=0), features.std(axis=0)
        self._scale = np.where(spread > _TINY, spread, 1.0)
        self._x = (features - self._centre) / self._scale
        self._mean = self.weights @ ends
        inverse = np.linalg.inv(_likeness(self._x, self._x) + np.diag(_NOISE / weights))
        self._pulls = inverse @ (ends - self._mean)
        self.misses = self._pulls / np.diag(inverse)[:, None]  # leaving each out, in closed form
        self.blind = ends - self.misses
        missed, varied = (self.weights @ np.square(each) for each in (self.misses, ends - self._mean))
        self.known = float(np.clip(1 - missed / np.maximum(varied, _TINY), 0.0, 1.0).min())

    def __call__(self, accuracy: Array, survivors: Array) -> Array:
        """Where k nets are heading, (k, 2) as `_stretched`; for each the same whatever the others are."""
        likeness = _likeness((_features(accuracy, survivors) - self._centre) / self._scale, self._x)
        found: Array = self._mean + np.stack(
            [(likeness * each).sum(axis=1) for each in self._pulls.T], axis=1
        )
        return found

    def values(self, stretched: Array) -> tuple[Array, Array]:
        """Accuracy and survivors, each (...), of what is (..., 2)."""
        odds = np.exp(np.clip(stretched[..., 0], -50.0, 50.0))
        accuracy: Array = np.clip((odds * (1 + _ODDS) - _ODDS) / (1 + odds), 0.0, 1.0)
        survivors: Array = np.expm1(np.clip(stretched[..., 1], 0.0, math.log1p(self._neurons)))
        return accuracy, survivors


class _Best:
    """The best of the finished trials, and how far others get beyond.

    Attributes:
        dimension: number of losses.
    """

    def __init__(self, goal: Goal, accuracy: Array, survivors: Array, worst: tuple[float, float]) -> None:
        self._goal = goal
        # whoever meets the constraints beats whoever does not; until one does, the goal is to miss by less
        self._meets = bool((self._excess(accuracy, survivors) <= 0).any())
        losses = self._losses(accuracy, survivors)
        self.dimension = len(losses)
        valid = self._valid(accuracy, survivors)
        if self.dimension == 1:
            self._least = losses[0][valid].min(initial=np.inf)
            return
        first, second = goal.losses(worst)
        points = np.stack([-losses[0][valid], losses[1][valid]], axis=1)
        points = points[(points[:, 0] > -first) & (points[:, 1] < second)]
        points = points[front(points)]
        self._steps = np.array([first, *-points[:, 0]])  # the least first loss, of all below each second one
        self._edges = np.array([-np.inf, *points[:, 1], second])

    def gain(self, accuracy: Array, survivors: Array) -> Array:
        """By how much each would improve the hypervolume or the least loss, (...) like its arguments."""
        losses = self._losses(accuracy, survivors)
        if self.dimension == 1:
            gains = np.maximum(self._least - losses[0], 0.0)
        else:
            first, second = (loss[..., None] for loss in losses)
            widths = self._edges[1:] - np.maximum(self._edges[:-1], second)
            gains = (np.maximum(widths, 0.0) * np.maximum(self._steps - first, 0.0)).sum(axis=-1)
        return np.where(self._valid(accuracy, survivors), gains, 0.0)

    def _losses(self, accuracy: Array, survivors: Array) -> tuple[Array, ...]:
        if not self._meets:
            return (self._excess(accuracy, survivors),)
        of_arrays: Any = self._goal.losses  # sums and products only
        losses: tuple[Array, ...] = of_arrays((accuracy, survivors))
        return losses

    def _valid(self, accuracy: Array, survivors: Array) -> NDArray[np.bool_]:
        return (self._excess(accuracy, survivors) <= 0) | (not self._meets)

    def _excess(self, accuracy: Array, survivors: Array) -> Array:
        """As `Goal.excess`, of arrays."""
        measured = dict(zip(MEASURES, (accuracy, survivors), strict=True))
        excesses = [
            sign * (measured[name] - bound) / max(abs(bound), 1.0)
            for name, bounds in self._goal.constraints.items()
            for bound, sign in zip(bounds, (-1.0, 1.0), strict=True)
            if bound is not None
        ]
        worst: Array = np.max(excesses, axis=0) if excesses else np.zeros_like(accuracy)
        return worst


def _features(accuracy: Array, survivors: Array) -> Array:
    """Where a trajectory is, of late was, and was on average, (k, 6), of (k, rung) each."""
    return np.stack(
        [
            part.mean(axis=1)
            for each in _stretched(accuracy, survivors)
            for part in (each[:, -1:], each[:, -3:], each)
        ],
        axis=1,
    )


def _stretched(accuracy: Array, survivors: Array) -> tuple[Array, Array]:
    """Log odds and logarithms, in which a step means about the same at either end of the front."""
    right = np.clip(accuracy, 0.0, 1.0)
    return np.log((right + _ODDS) / (1 - right + _ODDS)), np.log1p(np.maximum(survivors, 0.0))


def _likeness(a: Array, b: Array) -> Array:
    """The kernel, (k, n), of (k, columns) and (n, columns): a Gaussian, and a trend that leads beyond it."""
    apart = a[:, None] - b
    likeness: Array = np.exp(-(apart * apart).mean(axis=-1) / 2) + _TREND * (a[:, None] * b).mean(axis=-1)
    return likeness
