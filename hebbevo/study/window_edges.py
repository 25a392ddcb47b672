"""The edges of a window: between which places on an axis a share is at least half of its plateau."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Array = NDArray[np.float64]

_PARTS = 64  # of the axis, each with its counts
_CENTRES = (np.arange(_PARTS) + 0.5) / _PARTS
_BANDWIDTH = 0.05  # of the smoothing at 800 trials: a fifth of a decade on an axis of four
_WIDEST = 0.1
_PLATEAU = 0.75  # of the highest share: what is above belongs to the plateau
_RESAMPLES = 1000
_LEVEL = 0.95


@dataclass(frozen=True)
class Edge:
    """A place on the axis, 0 to 1, with the ends of its 95 % interval.

    An interval that reaches the end of the axis means that there may be no edge.
    """

    place: float
    low: float
    high: float


@dataclass(frozen=True)
class Edges:
    """The window around the highest share.

    Attributes:
        plateau: the level of the share inside.
        lower: where it begins; ``None`` if the share is above half of the plateau down to 0.
        upper: where it ends, likewise.
    """

    plateau: float
    lower: Edge | None
    upper: Edge | None


def find_edges(places: Array, is_usable: NDArray[np.bool_]) -> Edges:
    """Find where the share of usable trials passes half of its plateau.

    The share is smoothed with a normal kernel. The plateau is its mean over the places where it is at least
    three quarters of its highest value. An edge is the place nearest to the highest value where it falls
    below half of the plateau. The intervals are bias-corrected percentiles (Efron, 1987,
    doi:10.2307/2289144) over 1,000 resamples, drawn from the smoothed share at the places of the trials.

    Args:
        places: of the trials, (n,), 0 to 1.
        is_usable: (n,), of which at least one is true.

    Examples:
        >>> places = np.linspace(0, 1, 500)
        >>> edges = find_edges(places, places > 0.4)
        >>> round(edges.lower.place, 2), edges.upper
        (0.4, None)
    """
    parts = np.minimum((places * _PARTS).astype(int), _PARTS - 1)
    trials = np.bincount(parts, minlength=_PARTS)
    usable = np.bincount(parts, is_usable, minlength=_PARTS)
    bandwidth = min(_BANDWIDTH * (800 / len(places)) ** 0.2, _WIDEST)
    weights = np.exp(-0.5 * ((_CENTRES[:, None] - _CENTRES) / bandwidth) ** 2)
    weights /= trials @ weights
    share = np.minimum(usable @ weights, 1.0)
    drawn = np.random.default_rng(0).binomial(trials, share, size=(_RESAMPLES, _PARTS)) @ weights
    return Edges(
        float(_plateau(share)),
        _edge(share, drawn),
        _mirrored(_edge(share[::-1], drawn[:, ::-1])),
    )


def _plateau(share: Array) -> Array:
    """The level of each share, (..., parts), inside its window, (...)."""
    inside = share >= _PLATEAU * share.max(axis=-1, keepdims=True)
    level: Array = (share * inside).sum(axis=-1) / inside.sum(axis=-1)
    return level


def _edge(share: Array, drawn: Array) -> Edge | None:
    """The lower edge of a share, (parts,), with its interval from resampled shares, (n, parts)."""
    place = float(_lower(share[None])[0])
    if place == 0:
        return None
    others = _lower(drawn)
    below = (others < place).mean() + (others == place).mean() / 2
    bias = norm.ppf(np.clip(below, 1 / _RESAMPLES, 1 - 1 / _RESAMPLES))
    ends = norm.cdf(2 * bias + norm.ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]))
    low, high = np.quantile(others, ends)
    return Edge(place, float(low), float(high))


def _lower(shares: Array) -> Array:
    """The place, (n,), at which each share, (n, parts), has risen to half of its plateau; 0 for none."""
    half = _plateau(shares)[:, None] / 2
    numbers = np.arange(_PARTS)
    before_peak = numbers < shares.argmax(axis=1)[:, None]
    last = np.where((shares < half) & before_peak, numbers, -1).max(axis=1)
    rows = np.arange(len(shares))
    below, above = shares[rows, last], shares[rows, last + 1]
    part = (half[:, 0] - below) / np.where(above > below, above - below, 1.0)
    return np.where(last < 0, 0.0, (last + 0.5 + part) / _PARTS)


def _mirrored(edge: Edge | None) -> Edge | None:
    return None if edge is None else Edge(1 - edge.place, 1 - edge.high, 1 - edge.low)
