"""Ridge regression in closed form."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from hebbevo.training.ridge import PENALTIES, Moments, ridge


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (200, 12)) @ rng.normal(size=(12, 12))
    y = x @ rng.normal(size=(12, 3)) * 0.2 + rng.normal(0, 3, (200, 3))
    return x, y


def moments(x, y, weights=None):
    ones = torch.ones(len(y)) if weights is None else weights
    return Moments.of(torch.as_tensor(x), torch.as_tensor(y), ones)


def by_scikit_learn(x, y, penalty, weights=None):
    """Coefficients and intercepts for raw features."""
    scaler = StandardScaler().fit(x, sample_weight=weights)
    total = len(x) if weights is None else weights.sum()
    model = Ridge(penalty * total).fit(scaler.transform(x), y, sample_weight=weights)
    weight = model.coef_ / scaler.scale_
    return weight, model.intercept_ - weight @ scaler.mean_


def expected(x, y, held, weights=None):
    """The fit of scikit-learn with the penalty of the least squared error on the rows held out."""
    own = (None, None) if weights is None else (weights[~held], weights[held])

    def error(penalty):
        weight, bias = by_scikit_learn(x[~held], y[~held], penalty, own[0])
        square = ((x[held] @ weight.T + bias - y[held]) ** 2).sum(1)
        return (square if weights is None else own[1] * square).sum()

    return by_scikit_learn(x, y, min(PENALTIES, key=error), weights)


def test_it_is_the_ridge_of_scikit_learn_with_the_best_penalty_on_the_rows_held_out(rows):
    x, y = rows
    held = np.arange(len(x)) % 5 == 4
    weight, bias = ridge(moments(x[~held], y[~held]), moments(x[held], y[held]))
    for found, own in zip((weight, bias), expected(x, y, held), strict=True):
        np.testing.assert_allclose(found.numpy(), own, rtol=1e-8)


def test_rows_may_have_weights(rows):
    x, y = rows
    held, weights = np.arange(len(x)) % 5 == 4, np.linspace(0.5, 3, len(x))
    parts = [moments(x[own], y[own], torch.as_tensor(weights[own])) for own in (~held, held)]
    for found, own in zip(ridge(*parts), expected(x, y, held, weights), strict=True):
        np.testing.assert_allclose(found.numpy(), own, rtol=1e-8)


def test_networks_of_a_stack_are_fitted_as_each_alone(rows):
    x, y = rows
    stack = torch.as_tensor(np.stack([x, 3 * x[::-1] + 1]))
    parts = slice(None, None, 2), slice(1, None, 2)
    found = ridge(*(moments(stack[:, part], y[part]) for part in parts))
    alone = [ridge(*(moments(own[part], y[part]) for part in parts)) for own in stack]
    for each, own in zip(found, map(torch.stack, zip(*alone, strict=True)), strict=True):
        torch.testing.assert_close(each, own)


def test_sums_over_parts_are_added(rows):
    x, y = rows
    whole, parts = moments(x, y), moments(x[:70], y[:70]) + moments(x[70:], y[70:])
    for name in ("rows", "x", "y", "xx", "xy", "yy"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))


@pytest.mark.parametrize("value", [0.0, 7e4])
def test_a_constant_feature_has_no_weight(rows, value):
    x, y = rows
    x = np.column_stack([x, np.full(len(x), value)])
    weight, _ = ridge(moments(x[::2], y[::2]), moments(x[1::2], y[1::2]))
    assert not weight[:, -1].any()
    assert weight[:, :-1].all()
