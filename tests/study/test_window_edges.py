import numpy as np
import pytest

from hebbevo.study.window_edges import find_edges


def design(n, rng):
    """Places of a Latin hypercube."""
    return (rng.permutation(n) + rng.random(n)) / n


def rising(place, middle=0.5, width=0.05, low=0.05, high=0.6):
    """A share that rises from ``low`` to ``high``; it passes half of ``high`` a little before ``middle``."""
    return low + (high - low) / (1 + np.exp(-(place - middle) / width))


def test_a_step_is_found_from_below_and_from_above():
    places = np.linspace(0, 1, 800)
    for step in (0.2, 0.47, 0.8):
        edges = find_edges(places, places > step)
        assert edges.lower.place == pytest.approx(step, abs=0.01)
        assert edges.upper is None
        edges = find_edges(places, places < step)
        assert edges.upper.place == pytest.approx(step, abs=0.01)
        assert edges.lower is None


def test_a_window_in_the_middle_has_both_edges_and_its_share_is_the_plateau():
    rng = np.random.default_rng(0)
    places = design(2000, rng)
    usable = (abs(places - 0.5) < 0.2) & (rng.random(2000) < 0.7)
    edges = find_edges(places, usable)
    assert edges.plateau == pytest.approx(0.7, abs=0.05)
    assert edges.lower.low <= edges.lower.place <= edges.lower.high
    assert [edges.lower.place, edges.upper.place] == pytest.approx([0.3, 0.7], abs=0.02)


def test_a_share_that_is_the_same_everywhere_has_no_edge():
    rng = np.random.default_rng(1)
    edges = find_edges(design(800, rng), rng.random(800) < 0.5)
    assert (edges.lower, edges.upper) == (None, None)


def test_mirrored_trials_have_mirrored_edges():
    rng = np.random.default_rng(2)
    places = design(400, rng)
    usable = rng.random(400) < rising(places)
    lower, upper = find_edges(places, usable).lower, find_edges(1 - places, usable).upper
    assert upper.place == pytest.approx(1 - lower.place, abs=1e-9)
    assert [upper.low, upper.high] == pytest.approx([1 - lower.high, 1 - lower.low], abs=0.02)  # other draws


def test_the_same_trials_in_any_order_have_the_same_edges():
    rng = np.random.default_rng(3)
    places = design(300, rng)
    usable = rng.random(300) < rising(places)
    order = rng.permutation(300)
    assert find_edges(places, usable) == find_edges(places[order], usable[order])


def test_the_intervals_cover_a_known_edge_about_95_times_of_100():
    n = 400
    rng = np.random.default_rng(4)
    grid = np.linspace(0, 1, 100_001)
    true = grid[np.argmax(rising(grid) >= 0.3)]
    covered = []
    for _ in range(120):
        places = design(n, rng)
        edge = find_edges(places, rng.random(n) < rising(places)).lower
        covered.append(edge is not None and edge.low <= true <= edge.high)
    assert 0.9 <= np.mean(covered) <= 0.99  # with 300 studies: 0.98
