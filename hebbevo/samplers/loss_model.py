"""A Gaussian process over one loss, which it learns in a transformed scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hebbevo.samplers.gaussian import GaussianProcess
from hebbevo.samplers.yeo_johnson import likeliest_power, transformed

Array = NDArray[np.float64]

_BEYOND = 3.0  # standard deviations by which a predicted loss can be better than the best
_TABLE = 4000  # places of the table from which losses are read back by linear interpolation


class LossModel:
    """A Gaussian process over a loss that is transformed until it is as good as normally distributed.

    What counts happens in a corner of a loss's range: between 3 and 40 of 256 neurons, or between 90 and 99 %
    of accuracy. A Gaussian process with one length scale per gene cannot resolve that corner; the
    transformation (`hebbevo.samplers.yeo_johnson`) spreads it.

    The transformed loss is measured in parts of the range of the losses that were learned from, so that 0 is
    the best of them and 1 the worst.

    Args:
        groups: as for `GaussianProcess`.
        tolerance: as for `GaussianProcess`.
    """

    def __init__(self, groups: NDArray[np.intp], tolerance: float) -> None:
        self._process = GaussianProcess(groups, tolerance)

    def fit(self, x: Array, losses: Array) -> Array:
        """Learn losses, (n,), at inputs, (n, columns); return the transformed losses, (n,)."""
        mean, sd = losses.mean(), losses.std() or 1.0
        standard = (losses - mean) / sd
        power = likeliest_power(standard) if np.ptp(losses) else 1.0
        scaled = transformed(standard, power)
        best, extent = scaled.min(), np.ptp(scaled) or 1.0
        places = np.linspace(standard.min() - _BEYOND, standard.max(), _TABLE)
        # the transformation has an inverse, but not for values beyond its range, which may be predicted
        self._transformed, self._losses = (
            (transformed(places, power) - best) / extent,
            mean + sd * places,
        )
        learned: Array = (scaled - best) / extent
        self._process.fit(x, learned)
        return learned

    def predict(self, x: Array, optimism: float) -> tuple[Array, Array]:
        """Predict the transformed loss, as `GaussianProcess.predict`."""
        return self._process.predict(x, optimism)

    def as_losses(self, predicted: Array) -> Array:
        """Transform predictions, (n,), back to losses, at worst the worst loss that was learned."""
        losses: Array = np.interp(predicted, self._transformed, self._losses)
        return losses
