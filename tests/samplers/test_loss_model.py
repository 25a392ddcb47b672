"""The model of one loss: its transformed scale, and what that scale resolves."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from hebbevo.samplers.gaussian import GaussianProcess
from hebbevo.samplers.loss_model import LossModel

TOLERANCE = 1e-4


@pytest.mark.parametrize("skew", [np.exp, lambda t: t, lambda t: -np.exp(-t)])
def test_a_loss_is_transformed_to_normal_and_back(skew):
    normal = np.random.default_rng(0).normal(size=200)
    losses, model = skew(normal), LossModel(np.arange(1), TOLERANCE)
    learned = model.fit(np.linspace(0, 1, 200)[:, None], losses)
    assert (learned.min(), learned.max()) == pytest.approx((0.0, 1.0))
    assert model.as_losses(learned) == pytest.approx(losses, abs=1e-3 * losses.std())
    assert np.corrcoef(learned, normal)[0, 1] > 0.98


def test_the_transformation_resolves_a_corner_of_the_range():
    rng = np.random.default_rng(1)

    def neurons(x):
        return 256 * x[:, 0] ** 6 * (1 + x[:, 1])

    x = rng.random((60, 2))
    model, untransformed = LossModel(np.arange(2), TOLERANCE), GaussianProcess(np.arange(2), TOLERANCE)
    noisy = neurons(x) * np.exp(0.2 * rng.normal(size=60))
    model.fit(x, noisy)
    untransformed.fit(x, noisy)
    new = np.column_stack([np.linspace(0.1, 0.6, 200), rng.random(200)])  # a tenth of the neurons and fewer
    order = spearmanr(model.predict(new, 0.0)[0], neurons(new)).statistic
    assert order > 0.9
    assert order > spearmanr(untransformed.predict(new, 0.0)[0], neurons(new)).statistic + 0.1


def test_equal_losses_are_predicted_as_they_are():
    model = LossModel(np.arange(2), TOLERANCE)
    x = np.random.default_rng(2).random((12, 2))
    model.fit(x, np.full(12, 7.0))
    assert model.as_losses(model.predict(1 - x, 1.0)[1]) == pytest.approx(7.0)
