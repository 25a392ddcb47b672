"""The greedy choice by hypervolume, checked by measuring every candidate in every step."""

import moocore
import numpy as np
import pytest

from hebbevo.samplers.hypervolume_selection import most_hypervolume, reference_point


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("objectives", [2, 3])
@pytest.mark.parametrize("on_a_front", [False, True])
def test_each_choice_adds_most_hypervolume(seed, objectives, on_a_front):
    rng = np.random.default_rng(seed)
    losses, front, reference = rng.random((30, objectives)), rng.random((4, objectives)), np.ones(objectives)
    if on_a_front:  # on a sphere no point dominates another
        losses = 1.0 - losses / np.linalg.norm(losses, axis=1, keepdims=True)
    chosen = most_hypervolume(losses, front, reference, 10)
    assert len(chosen) == 10 if on_a_front else 0 < len(chosen) <= 10
    known = front
    for row in chosen:
        volumes = [moocore.hypervolume(np.vstack([known, one]), ref=reference) for one in losses]
        assert volumes[row] == pytest.approx(max(volumes), abs=1e-12)
        known = np.vstack([known, losses[row]])


def test_no_more_are_chosen_than_asked():
    line = np.column_stack([np.arange(1, 9), np.arange(8, 0, -1)]) / 10
    front = np.array([[0.9, 0.9]])
    for k in (0, 1, 5):
        assert len(most_hypervolume(line, front, np.ones(2), k)) == k


def test_a_point_that_adds_nothing_is_not_chosen():
    front = np.array([[0.2, 0.2]])
    assert most_hypervolume(np.array([[0.3, 0.3], [0.2, 0.2], [0.1, 0.5]]), front, np.ones(2), 3) == [2]


def test_with_one_objective_only_the_best_adds():
    assert most_hypervolume(np.array([[0.5], [0.1], [0.3]]), np.array([[0.4]]), np.array([1.0]), 3) == [1]


def test_the_reference_point_lies_beyond_the_front_by_the_margin_of_both_ranges():
    losses = np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 10.0]])  # the last one is dominated
    assert reference_point(losses, 0.1).tolist() == pytest.approx([1.0 + 0.1 * (1 + 3), 4.0 + 0.1 * (2 + 8)])


def test_with_one_objective_the_reference_point_lies_beyond_the_best():
    assert reference_point(np.array([[2.0], [5.0], [3.0]]), 0.1).tolist() == pytest.approx([2.0 + 0.1 * 3])
