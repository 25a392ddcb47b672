"""The increase in hypervolume against the difference of two hypervolumes by moocore."""

import moocore
import numpy as np
import pytest

from hebbevo.objectives.improvement import HypervolumeImprovement


@pytest.mark.parametrize("dimension", [2, 3, 4])
@pytest.mark.parametrize("size", [0, 1, 12])
def test_the_increase_is_the_difference_of_the_hypervolumes(dimension: int, size: int) -> None:
    rng = np.random.default_rng([dimension, size])
    reference = (1.0,) * dimension
    front = rng.integers(0, 6, (size, dimension)) / 8  # with equal values of single losses
    front = front[moocore.is_nondominated(front)] if size else front
    points = rng.integers(-2, 9, (40, dimension)) / 8
    before = moocore.hypervolume(front, ref=reference) if size else 0.0
    after = [moocore.hypervolume(np.vstack([front, point]), ref=reference) for point in points]
    found = HypervolumeImprovement(front, reference)([*points.T])
    np.testing.assert_allclose(found, np.array(after) - before, atol=1e-12)
    assert (found > 0).any()


def test_the_shape_of_the_losses_is_that_of_the_increase() -> None:
    losses = [np.zeros((2, 3)), np.full((2, 3), 0.5), np.full((2, 3), 0.25)]
    found = HypervolumeImprovement(np.empty((0, 3)), (1.0, 1.0, 1.0))(losses)
    np.testing.assert_allclose(found, np.full((2, 3), 1.0 * 0.5 * 0.75))
