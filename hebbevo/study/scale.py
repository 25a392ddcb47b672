"""Scales of axes: logarithmic for values that span a large factor, with a place for zero."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Scale:
    """The scale of an axis.

    Attributes:
        log: whether it is logarithmic.
        low: value at its start.
        high: value at its end.
        zero: where a logarithmic axis draws the value 0, labelled ``0``; 0 if there is no such value.
    """

    log: bool
    low: float
    high: float
    zero: float = 0.0

    def place(self, values: ArrayLike) -> NDArray[np.float64]:
        """The places at which values are drawn."""
        floats = np.asarray(values, dtype=float)
        return np.maximum(floats, self.zero) if self.log else floats

    def bars(self, values: ArrayLike, sds: ArrayLike) -> NDArray[np.float64]:
        """Lengths (2, n) of the error bars below and above n values, given standard deviations or NaN."""
        middle, known = np.asarray(values, dtype=float), np.nan_to_num(np.asarray(sds, dtype=float))
        low = np.maximum(middle - known, self.low) if self.log else middle - known  # a bar ends with the axis
        return np.stack(
            [self.place(middle) - self.place(low), self.place(middle + known) - self.place(middle)]
        )

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels of a log axis: 1, 2 and 5 of each decade, or decades alone if there are many."""
        steps = (1, 2, 5) if self.high / self.low < 1e4 else (1,)
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = [float(f"{step}e{decade}") for decade in decades for step in steps]
        shown = [(value, f"{value:g}") for value in values if self.zero < value and self.covers(value)]
        return [(self.zero, "0"), *shown] if self.covers(self.zero) else shown

    def covers(self, place: float) -> bool:
        """Whether a place lies on the axis."""
        return self.low <= place <= self.high

    def shares(self, whole: float) -> list[tuple[float, float]]:
        """Places of round percentages of ``whole`` that lie on the axis, each with its share, 0 to 1."""
        log_steps = [step * 10.0**-decade for decade in range(5) for step in (1, 0.5, 0.2)]
        steps = log_steps if self.log else [0, 0.2, 0.4, 0.6, 0.8, 1]
        shown = [(share * whole, share) for share in steps if self.covers(share * whole)]
        return (
            [(self.zero, 0.0), *(tick for tick in shown if tick[0] >= 2 * self.zero)] if self.zero else shown
        )


def scale(values: Iterable[float], factor: float = 10.0) -> Scale:
    """Choose the scale that shows all finite values, of which there must be at least one.

    Args:
        values: none below zero on a logarithmic axis.
        factor: the least factor between the largest and the smallest positive value of a logarithmic axis.

    >>> scale([4, 256]).log, scale([4, 8]).log
    (True, False)
    """
    known = np.array([value for value in values if np.isfinite(value)], dtype=float)
    low, high = float(known.min()), float(known.max())
    positive = known[known > 0]
    if low >= 0 and positive.size and high >= factor * positive.min():
        least = float(positive.min())
        zero = min(least, 1.0) / 2 if low == 0 else 0.0
        return Scale(True, (zero or least) / 1.25, high * 1.25, zero)
    margin = 0.04 * (high - low) or 0.5
    return Scale(False, low - margin, high + margin)
