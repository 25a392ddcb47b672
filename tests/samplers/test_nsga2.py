"""NSGA-II on arrays against brute force."""

import math

import numpy as np
import pytest

from hebbevo.samplers.nsga2 import best_of, vary


def dominates(one, other):
    return all(one <= other) and any(one < other)


def fronts(losses):
    left = list(range(len(losses)))
    while left:
        front = [i for i in left if not any(dominates(losses[j], losses[i]) for j in left)]
        yield front
        left = [i for i in left if i not in front]


def crowding(losses, front):
    distance = dict.fromkeys(front, 0.0)
    for objective in range(losses.shape[1]):
        line = sorted(front, key=lambda row: losses[row, objective])
        spread = losses[line[-1], objective] - losses[line[0], objective]
        distance[line[0]] = distance[line[-1]] = math.inf
        for before, row, after in zip(line, line[1:], line[2:], strict=False):
            distance[row] += (losses[after, objective] - losses[before, objective]) / spread
    return distance


@pytest.mark.parametrize("objectives", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_best_are_whole_fronts_and_then_the_least_crowded(objectives, seed):
    losses = np.random.default_rng(seed).random((60, objectives))
    for k in (1, 7, 30, 59):
        chosen = set(best_of(losses, k).tolist())
        assert len(chosen) == k
        room = k
        for front in fronts(losses):
            inside = [row for row in front if row in chosen]
            assert len(inside) == min(room, len(front))
            if 0 < len(inside) < len(front):
                distance = crowding(losses, front)
                outside = [row for row in front if row not in chosen]
                assert min(map(distance.get, inside)) >= max(map(distance.get, outside))
            room -= len(inside)


def test_with_one_objective_the_best_are_the_smallest():
    losses = np.random.default_rng(0).random((50, 1))
    assert sorted(best_of(losses, 9)) == sorted(np.argsort(losses[:, 0])[:9])


def test_fewer_than_asked_for_are_all_there():
    assert sorted(best_of(np.random.default_rng(0).random((4, 2)), 9)) == [0, 1, 2, 3]


def test_equal_losses_are_not_lost():
    assert len(best_of(np.ones((10, 2)), 4)) == 4


def test_children_stay_in_the_unit_cube_and_vary_on_every_axis():
    rng = np.random.default_rng(0)
    parents = np.array([[0.0, 1.0, 0.01], [1.0, 0.0, 0.99]])
    children = vary(parents, 500, np.zeros(3, dtype=bool), rng)
    assert children.shape == (500, 3)
    assert children.min() >= 0 and children.max() <= 1
    assert (children.std(axis=0) > 0.05).all()


def test_choices_are_a_parents_or_redrawn_but_never_blended():
    parents = np.array([[0.125, 0.5], [0.875, 0.5]])
    children = vary(parents, 4000, np.array([True, False]), np.random.default_rng(0))[:, 0]
    own = np.isin(children, [0.125, 0.875])
    assert own.mean() == pytest.approx(0.5, abs=0.05)  # an axis of two is redrawn every second time
    assert np.histogram(children[~own], bins=4, range=(0, 1))[0].min() > 350


def test_one_axis_mutates_on_average():
    parents = np.full((1, 20), 0.5)  # a parent mixed with itself stays as it is
    children = vary(parents, 2000, np.zeros(20, dtype=bool), np.random.default_rng(0))
    assert (np.abs(children - 0.5) > 1e-12).sum(axis=1).mean() == pytest.approx(1.0, abs=0.1)
