"""The strategies of CMA-ES, checked by their equations as written, and by brute force."""

import itertools
import math

import numpy as np
import pytest

from hebbevo.samplers import CmaEs, Outcome
from hebbevo.samplers.cmaes_strategies import least_contributor
from hebbevo.samplers.deap_adapter import Individual, set_fitness
from hebbevo.space import IntGene, Space, canonical
from tests.samplers.conftest import cube, dominates, place, run_generation, search


def rotation(dimension):
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((dimension, dimension)))
    return q


# --- one objective


def literal_update(m, sigma, p_sigma, p_c, C, X, t, lam):
    """The equations of Hansen (2016, arXiv:1604.00772) for the ranked ``X``, with DEAP's rates."""
    N, mu = X.shape[1], len(X)
    w = np.log(mu + 0.5) - np.log(np.arange(1, mu + 1))
    w /= w.sum()
    mu_eff = 1 / (w**2).sum()
    c_sigma = (mu_eff + 2) / (N + mu_eff + 3)
    d_sigma = 1 + 2 * max(0, math.sqrt((mu_eff - 1) / (N + 1)) - 1) + c_sigma
    c_c = 4 / (N + 4)
    c_1 = 2 / ((N + 1.3) ** 2 + mu_eff)
    c_mu = min(1 - c_1, 2 * (mu_eff - 2 + 1 / mu_eff) / ((N + 2) ** 2 + mu_eff))
    chi = math.sqrt(N) * (1 - 1 / (4 * N) + 1 / (21 * N**2))
    values, vectors = np.linalg.eigh(C)
    whiten = vectors @ np.diag(values**-0.5) @ vectors.T
    Y = (X - m) / sigma
    y = w @ Y
    p_sigma = (1 - c_sigma) * p_sigma + math.sqrt(c_sigma * (2 - c_sigma) * mu_eff) * whiten @ y
    norm = np.linalg.norm(p_sigma)
    h = norm / math.sqrt(1 - (1 - c_sigma) ** (2 * (t + 1))) < (1.4 + 2 / (N + 1)) * chi
    p_c = (1 - c_c) * p_c + h * math.sqrt(c_c * (2 - c_c) * mu_eff) * y
    rank_mu = sum(w_i * np.outer(y_i, y_i) for w_i, y_i in zip(w, Y, strict=True))
    C = (1 - c_1 - c_mu + (1 - h) * c_1 * c_c * (2 - c_c)) * C + c_1 * np.outer(p_c, p_c) + c_mu * rank_mu
    sigma *= math.exp(c_sigma / d_sigma * (norm / chi - 1))
    return m + sum(w_i * (x - m) for w_i, x in zip(w, X, strict=True)), sigma, p_sigma, p_c, C


@pytest.mark.parametrize("failures", [0, 3, 11, 19])
def test_an_update_follows_the_equations_over_the_genomes_that_did_not_fail(failures):
    n, N = 20, 4
    a = np.array([0.2, 0.4, 0.6, 0.8])
    sampler = CmaEs(cube(N), 3, {"sigma": 0.1}, 1)

    def losses(genome):
        return (float(((place(genome) - a) ** 2).sum()),)

    run_generation(sampler, losses, n)
    deap = sampler.strategy.deap
    expected = deap.centroid, 0.1, np.zeros(N), np.zeros(N), np.eye(N)
    for t in range(3):
        outcomes = [Outcome(g, losses(g) if i >= failures else None) for i, g in enumerate(sampler.ask(n))]
        sampler.tell(outcomes)
        ranked = sorted((o for o in outcomes if o.losses), key=lambda o: o.losses)
        better = np.array([place(o.genome) for o in ranked[: n // 2]])
        expected = literal_update(*expected, better, t, n)
        for found, value in zip((deap.centroid, deap.sigma, deap.ps, deap.pc, deap.C), expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)


def test_the_first_centre_is_the_weighted_mean_of_the_better_half_of_a_latin_hypercube():
    sampler = CmaEs(cube(3), 0, {}, 1)
    outcomes = run_generation(sampler, lambda genome: (genome["x0"],), 10)
    for axis in ("x0", "x1", "x2"):
        assert sorted(int(o.genome[axis] * 10) for o in outcomes) == list(range(10))
    better = sorted((place(o.genome) for o in outcomes), key=lambda x: x[0])[:5]
    weights = np.log(5.5) - np.log([1, 2, 3, 4, 5])
    np.testing.assert_allclose(sampler.strategy.deap.centroid, weights @ better / weights.sum(), rtol=1e-12)


@pytest.mark.parametrize("condition", [1.0, 1e3], ids=["sphere", "rotated ellipsoid"])
def test_it_finds_an_optimum_to_eight_digits(condition):
    N, n, generations = 8, 10, 300
    scale = condition ** (np.arange(N)[:, None] / (N - 1) / 2) * rotation(N)
    a = np.linspace(0.1, 0.9, N)

    def losses(genome):
        return (float(((scale @ (place(genome) - a)) ** 2).sum()),)

    found = search(CmaEs(cube(N), 0, {}, 1), losses, n, generations)
    best = min(found, key=lambda o: o.losses)
    np.testing.assert_allclose(place(best.genome), a, atol=1e-8)
    points = np.random.default_rng(0).random((n * generations, N))
    assert abs(points - a).max(axis=1).min() > 0.1


def test_an_optimum_in_a_corner_is_found():
    corner = np.array([0.0, 1.0, 0.0, 1.0, 1.0])

    def losses(genome):
        return (float(abs(place(genome) - corner).sum()),)

    found = search(CmaEs(cube(5), 0, {}, 1), losses, 12, 100)
    assert min(o.losses for o in found)[0] < 1e-6


def test_one_axis_needs_four_genomes_for_an_update():
    sampler = CmaEs(cube(1), 0, {}, 1)
    for asked in range(1, 5):
        run_generation(sampler, lambda genome: (genome["x0"],), 1)
        assert (sampler.strategy.deap is not None) == (asked == 4)


def test_a_flat_distribution_keeps_variances_that_rounding_does_not_make_negative():
    sampler = CmaEs(cube(3), 0, {}, 1)
    run_generation(sampler, lambda genome: (genome["x0"],), 10)
    deap = sampler.strategy.deap
    deap.C = np.full((3, 3), 1e13)  # all variance lies in one direction
    run_generation(sampler, lambda genome: (genome["x0"],), 10)
    assert deap.diagD.min() >= 1e-6 * deap.diagD.max() * (1 - 1e-9)
    np.testing.assert_allclose(deap.C, deap.B @ np.diag(deap.diagD**2) @ deap.B.T)


def test_generations_too_small_for_an_update_are_gathered():
    a = np.array([0.3, 0.6, 0.8])  # three axes: 4 + 3 ln 3 makes 7

    def losses(genome):
        return (float(((place(genome) - a) ** 2).sum()),)

    sampler = CmaEs(cube(3), 0, {}, 1)
    states = []
    for _ in range(28):
        run_generation(sampler, losses, 1)
        deap = sampler.strategy.deap
        states.append(None if deap is None else tuple(deap.centroid))
    assert [len(list(group)) for _, group in itertools.groupby(states)] == [6, 7, 7, 7, 1]
    assert min(o.losses for o in search(sampler, losses, 1, 500))[0] < 1e-6


def test_points_drawn_anywhere_do_not_move_the_distribution():
    """They lie many step sizes away, and one such step would widen the distribution without bound."""
    sampler = CmaEs(cube(3), 0, {}, 1)
    search(sampler, lambda g: (g["x0"],), 10, 5)
    deap = sampler.strategy.deap
    before, deap.sigma = deap.centroid.copy(), 0.0  # nothing new but the mean is to be found near the mean
    run_generation(sampler, lambda g: (g["x0"] - 5.0,), 30)
    np.testing.assert_array_equal(deap.centroid, before)


# --- several objectives


def area(points, reference):
    """The area that points dominate, strip by strip."""
    total, top = 0.0, reference[1]
    for x, y in sorted(points):
        if y < top:
            total += (reference[0] - x) * (top - y)
            top = y
    return total


def survivors(points, room):
    """Whole fronts first; from the last front, the point that adds the least area is dropped repeatedly."""
    chosen, left = [], list(points)
    while left and len(chosen) < room:
        front = [p for p in left if not any(dominates(q, p) for q in left)]
        left = [p for p in left if p not in front]
        while len(chosen) + len(front) > room:
            low, high = np.min(front, axis=0), np.max(front, axis=0)
            scaled = [tuple((np.array(p) - low) / (high - low)) for p in front]
            kept = [area([*scaled[:i], *scaled[i + 1 :]], (2.0, 2.0)) for i in range(len(front))]
            front.pop(int(np.argmax(kept)))
        chosen += front
    return sorted(chosen)


@pytest.mark.parametrize("seed", range(6))
def test_selection_is_by_front_and_then_by_hypervolume(seed):
    rng = np.random.default_rng(seed)

    def losses(genome):
        x, y = rng.random(2)
        return float(x), 1000.0 * float(abs(1 - x + 0.3 * y))  # long fronts, in unlike units

    sampler = CmaEs(cube(3), seed, {})
    pool = []
    for _ in range(4):
        pool += [outcome.losses for outcome in run_generation(sampler, losses, 16)]
        pool = survivors(pool, 16)
        assert sorted(parent.outcome.losses for parent in sampler.strategy.deap.parents) == pool


def test_children_come_from_the_first_front_only():
    sampler = CmaEs(cube(2), 0, {"sigma": 1e-3})
    outcomes = run_generation(sampler, lambda g: (g["x0"], 1 - g["x0"]) if g["x1"] < 0.5 else (2.0, 2.0), 12)
    front = [place(o.genome) for o in outcomes if o.genome["x1"] < 0.5]
    assert len(front) == 6
    distances = np.array([[abs(place(g) - p).max() for p in front] for g in sampler.ask(60)])
    assert set(distances.argmin(axis=1)) == set(range(6))
    assert distances.min(axis=1).max() < 0.01


@pytest.mark.parametrize(
    ("front", "least"),
    [
        # the last adds one range times a ten-thousandth, the third 0.2 times a half of the ranges
        ([(0.0, 1000.0), (0.5, 500.0), (0.8, 0.1), (1.0, 0.0)], 3),
        ([(0.0, 1e-3), (5e-4, 5e-4), (8e-4, 1e-7), (1e-3, 0.0)], 3),
        ([(0.0, 1.0), (1e-4, 0.5), (0.5, 0.0)], 0),
        ([(0.0, 1.0), (0.4, 0.9), (1.0, 0.0)], 1),
    ],
)
def test_the_least_contributor_is_found_in_parts_of_the_ranges_of_the_front(front, least):
    individuals = [Individual(np.array([0.5]), Outcome({"x": 0.5}, losses)) for losses in front]
    set_fitness(individuals)
    assert least_contributor(individuals, np.ones(2)) == least


@pytest.mark.parametrize("objectives", [1, 2])
def test_distributions_keep_the_margin_of_ints(objectives):
    space = Space((*cube(2).genes, IntGene("n", 0, 9), IntGene("m", 1, 40, log=True)))
    sampler = CmaEs(space, 0, {"sigma": 1e-3}, objectives)
    for _ in range(5):
        run_generation(sampler, lambda g: (g["x0"] + g["n"], g["x1"] - g["n"])[:objectives], 12)
        deap, least = sampler.strategy.deap, sampler.axes.least_deviations
        if objectives == 1:
            assert (deap.sigma * np.sqrt(np.diag(deap.C)) >= least(deap.centroid) * (1 - 1e-9)).all()
        else:
            for parent, sigma, A in zip(deap.parents, deap.sigmas, deap.A, strict=True):
                deviations = sigma * np.sqrt((A**2).sum(axis=1))
                assert (deviations >= least(np.array(parent)) * (1 - 1e-9)).all()


def test_a_distribution_that_is_too_narrow_along_an_int_only_is_widened():
    space = Space((*cube(2).genes, IntGene("n", 0, 9)))
    sampler = CmaEs(space, 0, {"sigma": 1.0})
    run_generation(sampler, lambda g: (g["x0"], 1 - g["x0"]), 8)
    deap = sampler.strategy.deap
    deap.A = [np.diag([1.0, 1.0, 0.01]) for _ in deap.parents]
    deap.invCholesky = [np.linalg.inv(A) for A in deap.A]
    run_generation(sampler, lambda _: None, 8)
    for parent, A, inverse in zip(deap.parents, deap.A, deap.invCholesky, strict=True):
        least = sampler.axes.least_deviations(np.array(parent))
        np.testing.assert_allclose(A, np.diag([1.0, 1.0, least[2]]))
        np.testing.assert_allclose(inverse @ A, np.eye(3))


@pytest.mark.parametrize("axes", [7, 8])
def test_a_child_moves_along_one_to_just_over_half_of_the_axes(axes):
    sampler = CmaEs(cube(axes), 0, {"sigma": 0.01})
    (parent,) = run_generation(sampler, lambda _: (0.0, 0.0), 1)
    moved = [int((abs(place(g) - place(parent.genome)) > 0).sum()) for g in sampler.ask(600)]
    most = axes // 2 + 1
    # log-uniform: k has the share of log(k + 1) - log(k) in the sum
    expected = [600 * math.log((k + 1) / k) / math.log(most + 1) for k in range(1, most + 1)]
    assert [moved.count(k) for k in range(1, most + 1)] == pytest.approx(expected, rel=0.25)
    assert max(moved) == most


def test_step_sizes_follow_the_successes_of_children():
    """Voss, Hansen & Igel (2010): the success rate is smoothed, and the step grows where it is above 2/11."""
    N, c, target = 6, (2 / 11) / (2 + 2 / 11), 2 / 11
    damping = 1 + N / 2

    def after(successes):
        rate, sigma = target, 0.1
        for success in successes:
            rate = (1 - c) * rate + c * success
            sigma *= math.exp((rate - target) / (damping * (1 - target)))
        return sigma

    sampler = CmaEs(cube(N), 0, {"sigma": 0.1})
    sampler.tell([Outcome(sampler.ask(1)[0], (0.0, 1.0))])
    sampler.tell([Outcome(genome, (1.0, 2.0)) for genome in sampler.ask(1)])
    assert sampler.strategy.deap.sigmas == pytest.approx([after([0])])
    sampler.tell([Outcome(genome, None) for genome in sampler.ask(1)])  # changes nothing
    sampler.tell([Outcome(genome, (1.0, 0.0)) for genome in sampler.ask(2)[:1]])
    assert sampler.strategy.deap.sigmas == pytest.approx([after([0, 1]), after([0, 1])])


def test_a_point_drawn_anywhere_gets_a_first_distribution():
    sampler = CmaEs(cube(3), 0, {"sigma": 0.2})
    search(sampler, lambda g: (g["x0"], 1 - g["x0"] + g["x1"]), 6, 5)
    deap = sampler.strategy.deap
    deap.sigmas = [0.0] * len(deap.parents)  # nothing new is to be found near any parent
    outcomes = run_generation(sampler, lambda g: (g["x0"] - 5, -g["x0"] - 5), 6)
    assert len({canonical(o.genome) for o in outcomes}) == 6
    assert {canonical(p.genome) for p in deap.parents} == {canonical(o.genome) for o in outcomes}
    assert deap.sigmas == [0.2] * 6
    assert all(np.array_equal(A, np.eye(3)) for A in deap.A)


def test_a_step_out_of_the_cube_is_reflected_as_often_as_it_takes():
    sampler = CmaEs(cube(1), 0, {}, 1)
    centre = np.array([0.3])
    for step in np.linspace(-4.0, 4.0, 81):
        expected = 0.3 + step
        while not 0 <= expected <= 1:
            expected = -expected if expected < 0 else 2 - expected
        assert sampler.strategy.moved(centre, centre, np.array([step])) == pytest.approx(expected)
