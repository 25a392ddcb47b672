"""NSGA-II on arrays, checked by brute force."""

import numpy as np
import pytest
from scipy.stats import kstest

from hebbevo.samplers.nsga2 import best_of, vary
from tests.samplers.conftest import assert_best_by_front_and_crowding


@pytest.mark.parametrize("objectives", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_best_are_whole_fronts_and_then_the_least_crowded(objectives, seed):
    # in unlike units and far from zero, of which neither may count
    losses = 5.0 + 10.0 ** np.arange(objectives) * np.random.default_rng(seed).random((60, objectives))
    for k in (1, 7, 30, 59):
        chosen = set(best_of(losses, k).tolist())
        assert len(chosen) == k
        assert_best_by_front_and_crowding(chosen, losses)


def test_with_one_objective_the_best_are_the_smallest():
    losses = np.random.default_rng(0).random((50, 1))
    assert sorted(best_of(losses, 9)) == sorted(np.argsort(losses[:, 0])[:9])


def test_all_rows_are_the_best_where_there_are_no_more_than_asked():
    assert sorted(best_of(np.random.default_rng(0).random((4, 2)), 9)) == [0, 1, 2, 3]


def test_of_equal_losses_as_many_are_chosen_as_asked():
    assert len(best_of(np.ones((10, 2)), 4)) == 4


def test_children_stay_in_the_unit_cube_and_vary_on_every_axis():
    rng = np.random.default_rng(0)
    parents = np.array([[0.0, 1.0, 0.01], [1.0, 0.0, 0.99]])
    children = vary(parents, 500, np.zeros(3, dtype=bool), rng)
    assert children.shape == (500, 3)
    assert children.min() >= 0 and children.max() <= 1
    assert (children.std(axis=0) > 0.05).all()


def test_choices_come_from_a_parent_or_are_redrawn_but_never_blended():
    parents = np.array([[0.125, 0.5], [0.875, 0.5]])
    children = vary(parents, 4000, np.array([True, False]), np.random.default_rng(0))[:, 0]
    own = np.isin(children, [0.125, 0.875])
    assert own.mean() == pytest.approx(0.5, abs=0.05)  # an axis of two is redrawn every second time
    assert np.histogram(children[~own], bins=4, range=(0, 1))[0].min() > 350


def test_crossover_spreads_children_as_simulated_binary_crossover_does():
    """Deb & Agrawal (1995): the spread b has the density (eta + 1) / 2 b^eta, beyond 1 with b^-(eta + 2)."""
    parents = np.repeat([[0.4], [0.6]], 1000, axis=1)  # so many axes that few of them mutate
    children = vary(parents, 1000, np.zeros(1000, dtype=bool), np.random.default_rng(0))
    b = np.abs(children - 0.5) / 0.1
    crossed = np.abs(b - 1) > 1e-9
    of_two_parents = crossed.mean(axis=1) > 0.1
    assert of_two_parents.mean() == pytest.approx(0.9 / 2, abs=0.05)  # half of the pairs are one parent twice
    assert crossed[of_two_parents].mean() == pytest.approx(0.5, abs=0.005)
    eta = 10
    law = kstest(b[crossed], lambda b: np.where(b < 1, b ** (eta + 1) / 2, 1 - b ** -(eta + 1) / 2))
    assert law.statistic < 0.01


def test_mutation_steps_as_polynomial_mutation_does():
    """Deb & Goyal (1996): the density of a step d is (eta + 1) / 2 (1 - |d|)^eta."""
    parent = np.full((1, 5), 0.5)
    children = vary(parent, 100_000, np.zeros(5, dtype=bool), np.random.default_rng(0))
    step = (children - 0.5)[np.abs(children - 0.5) > 1e-12]
    eta = 10
    law = kstest(step, lambda d: 0.5 + np.sign(d) * (1 - (1 - np.abs(d)) ** (eta + 1)) / 2)
    assert law.statistic < 0.01


def test_one_axis_mutates_on_average():
    parents = np.full((1, 20), 0.5)  # a parent mixed with itself stays as it is
    children = vary(parents, 2000, np.zeros(20, dtype=bool), np.random.default_rng(0))
    assert (np.abs(children - 0.5) > 1e-12).sum(axis=1).mean() == pytest.approx(1.0, abs=0.1)
