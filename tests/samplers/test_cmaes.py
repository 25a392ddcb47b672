"""CMA-ES against its equations written out, brute force, and problems whose answers are known."""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest

from hebbevo.samplers import CmaEs, Outcome
from hebbevo.samplers.cmaes import _Axes
from hebbevo.space.genes import ChoiceGene, FloatGene, IntGene, Space, canonical


def cube(dimension):
    return Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(dimension)))


def tell(sampler, losses, n):
    """One generation, whose losses are a function of the genome."""
    outcomes = [Outcome(genome, losses(genome)) for genome in sampler.ask(n)]
    sampler.tell(outcomes)
    return outcomes


def search(sampler, losses, n, generations):
    return [outcome for _ in range(generations) for outcome in tell(sampler, losses, n)]


def place(genome):
    return np.array(list(genome.values()))


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
def test_an_update_is_the_equations_of_cma_es_over_those_that_succeeded(failures):
    n, N = 20, 4
    a = np.array([0.2, 0.4, 0.6, 0.8])
    sampler = CmaEs(cube(N), 3, {"sigma": 0.1}, 1)

    def losses(genome):
        return (float(((place(genome) - a) ** 2).sum()),)

    tell(sampler, losses, n)
    deap = sampler._strategy._deap
    expected = deap.centroid, 0.1, np.zeros(N), np.zeros(N), np.eye(N)
    for t in range(3):
        outcomes = [Outcome(g, losses(g) if i >= failures else None) for i, g in enumerate(sampler.ask(n))]
        sampler.tell(outcomes)
        ranked = sorted((o for o in outcomes if o.losses), key=lambda o: o.losses)
        better = np.array([place(o.genome) for o in ranked[: n // 2]])
        expected = literal_update(*expected, better, t, n)
        for found, value in zip((deap.centroid, deap.sigma, deap.ps, deap.pc, deap.C), expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)


def test_it_begins_at_the_weighted_mean_of_the_better_half_of_a_latin_hypercube():
    sampler = CmaEs(cube(3), 0, {}, 1)
    outcomes = tell(sampler, lambda genome: (genome["x0"],), 10)
    for axis in ("x0", "x1", "x2"):
        assert sorted(int(o.genome[axis] * 10) for o in outcomes) == list(range(10))
    better = sorted((place(o.genome) for o in outcomes), key=lambda x: x[0])[:5]
    weights = np.log(5.5) - np.log([1, 2, 3, 4, 5])
    np.testing.assert_allclose(sampler._strategy._deap.centroid, weights @ better / weights.sum(), rtol=1e-12)


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


def test_generations_too_small_for_an_update_are_gathered():
    a = np.array([0.3, 0.6, 0.8])  # three axes: 4 + 3 ln 3 makes 7

    def losses(genome):
        return (float(((place(genome) - a) ** 2).sum()),)

    sampler = CmaEs(cube(3), 0, {}, 1)
    states = []
    for _ in range(28):
        tell(sampler, losses, 1)
        deap = sampler._strategy._deap
        states.append(None if deap is None else tuple(deap.centroid))
    assert [len(list(group)) for _, group in itertools.groupby(states)] == [6, 7, 7, 7, 1]
    assert min(o.losses for o in search(sampler, losses, 1, 500))[0] < 1e-6


def test_what_comes_from_anywhere_does_not_move_the_distribution():
    """It lies many step sizes away, and one such step would tear the distribution apart."""
    sampler = CmaEs(cube(3), 0, {}, 1)
    search(sampler, lambda g: (g["x0"],), 10, 5)
    deap = sampler._strategy._deap
    before, deap.sigma = deap.centroid.copy(), 0.0  # nothing new but the mean is to be found near the mean
    tell(sampler, lambda g: (g["x0"] - 5.0,), 30)
    np.testing.assert_array_equal(deap.centroid, before)


def test_a_single_objective_search_is_replayed_exactly():
    space = Space((FloatGene("x", 0.0, 1.0), IntGene("n", 1, 9), ChoiceGene("c", ("p", "q", "r"))))

    def losses(genome):
        return None if genome["x"] > 0.8 else (genome["x"] * genome["n"] + (genome["c"] == "q"),)

    first = CmaEs(space, 5, {}, 1)
    history = [tell(first, losses, 8) for _ in range(10)]
    second = CmaEs(space, 5, {}, 1)
    for outcomes in history:
        assert second.ask(8) == [o.genome for o in outcomes]
        second.tell(outcomes)


# --- several objectives


def dominates(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def area(points, reference):
    """The area that points dominate, strip by strip."""
    total, top = 0.0, reference[1]
    for x, y in sorted(points):
        if y < top:
            total += (reference[0] - x) * (top - y)
            top = y
    return total


def survivors(points, room):
    """Whole fronts first; out of the last, again and again, whoever adds the least area."""
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
        pool += [outcome.losses for outcome in tell(sampler, losses, 16)]
        pool = survivors(pool, 16)
        assert sorted(parent.outcome.losses for parent in sampler._strategy._deap.parents) == pool


def test_children_come_from_the_first_front_only():
    sampler = CmaEs(cube(2), 0, {"sigma": 1e-3})
    outcomes = tell(sampler, lambda g: (g["x0"], 1 - g["x0"]) if g["x1"] < 0.5 else (2.0, 2.0), 12)
    front = [place(o.genome) for o in outcomes if o.genome["x1"] < 0.5]
    assert len(front) == 6
    near = {int(np.argmin([abs(place(g) - p).max() for p in front])) for g in sampler.ask(60)}
    assert near == set(range(6))
    assert all(min(abs(place(g) - p).max() for p in front) < 0.01 for g in sampler._asked)


def test_a_child_moves_along_one_to_just_over_half_of_the_axes():
    sampler = CmaEs(cube(8), 0, {"sigma": 0.01})
    (parent,) = tell(sampler, lambda _: (0.0, 0.0), 1)
    moved = [int((abs(place(g) - place(parent.genome)) > 0).sum()) for g in sampler.ask(600)]
    # log-uniform: k has the share of log(k + 1) - log(k) in log 6
    expected = [600 * math.log((k + 1) / k) / math.log(6) for k in range(1, 6)]
    assert [moved.count(k) for k in range(1, 6)] == pytest.approx(expected, rel=0.25)


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
    assert sampler._strategy._deap.sigmas == pytest.approx([after([0])])
    sampler.tell([Outcome(genome, None) for genome in sampler.ask(1)])  # tells nothing
    sampler.tell([Outcome(genome, (1.0, 0.0)) for genome in sampler.ask(2)[:1]])
    assert sampler._strategy._deap.sigmas == pytest.approx([after([0, 1]), after([0, 1])])


def test_what_comes_from_anywhere_begins_with_a_fresh_distribution():
    sampler = CmaEs(cube(3), 0, {"sigma": 0.2})
    search(sampler, lambda g: (g["x0"], 1 - g["x0"] + g["x1"]), 6, 5)
    deap = sampler._strategy._deap
    deap.sigmas = [0.0] * len(deap.parents)  # nothing new is to be found near any parent
    outcomes = tell(sampler, lambda g: (g["x0"] - 5, -g["x0"] - 5), 6)
    assert len({canonical(o.genome) for o in outcomes}) == 6
    assert {canonical(p.genome) for p in deap.parents} == {canonical(o.genome) for o in outcomes}
    assert deap.sigmas == [0.2] * 6
    assert all(np.array_equal(A, np.eye(3)) for A in deap.A)


# --- bounds, ints, choices and inactive genes, for one objective and for two

both = pytest.mark.parametrize("objectives", [1, 2])


def test_a_step_out_of_the_cube_is_reflected_as_often_as_it_takes():
    sampler = CmaEs(cube(1), 0, {}, 1)
    centre = np.array([0.3])
    for step in np.linspace(-4.0, 4.0, 81):
        expected = 0.3 + step
        while not 0 <= expected <= 1:
            expected = -expected if expected < 0 else 2 - expected
        assert sampler._strategy._moved(centre, centre, np.array([step])) == pytest.approx(expected)


@both
def test_what_is_learnt_from_is_the_genome_that_was_trained(objectives):
    """Were the point outside the cube kept, means and parents would drift away from what they stand for."""
    sampler = CmaEs(cube(4), 0, {"sigma": 1.0}, objectives)
    for _ in range(20):
        outcomes = tell(sampler, lambda g: (g["x0"] - g["x1"], g["x2"])[:objectives], 10)
        deap = sampler._strategy._deap
        parents = np.array(deap.parents if objectives > 1 else [deap.centroid])
        assert ((parents >= 0) & (parents <= 1)).all()
        if objectives > 1:
            genomes = {canonical(o.genome): place(o.genome).tolist() for o in outcomes}
            assert all(list(p) == genomes.get(canonical(p.genome), list(p)) for p in deap.parents)


@pytest.mark.parametrize(
    "gene",
    [IntGene("n", 0, 1), IntGene("n", 3, 9), IntGene("n", 10, 95, step=7), IntGene("n", 1, 40, log=True)],
    ids=["two values", "seven values", "steps", "log"],
)
@pytest.mark.parametrize("margin", [0.02, 0.3])
def test_the_narrowest_distribution_leaves_the_value_of_an_int_with_the_margin(gene, margin):
    axes = _Axes(Space((FloatGene("x", 0.0, 1.0), gene)), margin)
    normal = np.array([NormalDist().inv_cdf((rank + 0.5) / 4000) for rank in range(4000)])
    for u in [0.001, 0.1, 0.37, 0.74, 0.93, 0.999, *map(gene.to_unit, gene.values[::4])]:
        spread = axes.least(np.array([0.5, u]))[1]
        values = np.array([gene.from_unit(min(max(x, 0.0), 1.0)) for x in u + spread * normal])
        value = gene.from_unit(u)
        ways = [side for side, end in ((-1, gene.values[0]), (1, gene.values[-1])) if value != end]
        shares = [(side * (values - value) > 0).mean() for side in ways]
        assert sum(shares) > 0.97 * margin
        assert min(shares) == pytest.approx(margin / len(ways), rel=0.03)  # the far edge decides


def test_an_int_on_the_edge_of_its_value_is_left_all_the_same():
    axes = _Axes(Space((IntGene("n", 0, 1),)), 0.1)
    assert axes.least(np.array([0.5])) > 0


@both
def test_ints_that_matter_late_are_not_stuck(objectives, monkeypatch):
    ints = [f"n{i}" for i in range(3)]
    space = Space((*cube(3).genes, *(IntGene(name, 0, 9) for name in ints)))

    def losses(genome):
        far = sum(abs(genome[f"x{i}"] - 0.5) for i in range(3))
        loss = far + 1e-5 * sum(9 - genome[name] for name in ints)
        return (loss, loss)[:objectives]

    def missing():
        best = min(search(CmaEs(space, 0, {}, objectives), losses, 10, 150), key=lambda o: o.losses).genome
        return sum(9 - best[name] for name in ints)

    with_margin = missing()
    monkeypatch.setattr(_Axes, "least", lambda self, centre: np.full(len(centre), 1e-9))
    assert missing() > with_margin == 0


@both
def test_choices_are_searched_where_there_is_nothing_else(objectives):
    space = Space(tuple(ChoiceGene(f"c{i}", ("a", "b", "c", "d")) for i in range(6)))

    def losses(genome):
        wrong = sum(value != "abcd"[i % 4] for i, value in enumerate(genome.values()))
        return (float(wrong), float(wrong))[:objectives]

    for seed in range(2):  # of 4096 genomes, 600 drawn at random seldom hold the best
        found = search(CmaEs(space, seed, {}, objectives), losses, 20, 30)
        assert min(o.losses for o in found)[0] == 0


@both
def test_choices_are_those_of_the_better_ones_except_for_redraws(objectives):
    space = Space((FloatGene("x", 0.0, 1.0), ChoiceGene("c", tuple(range(50))), ChoiceGene("e", (1, 2))))

    def drawn(redraw):
        sampler = CmaEs(space, 0, {"redraw": redraw}, objectives)
        outcomes = tell(sampler, lambda g: (g["x"], 1 - g["x"])[:objectives], 20)
        ranked = sorted(outcomes, key=lambda o: o.losses)
        better = {(o.genome["c"], o.genome["e"]) for o in (ranked[:10] if objectives == 1 else ranked)}
        pairs = [(g["c"], g["e"]) for g in sampler.ask(400)]
        return better, pairs

    better, pairs = drawn(0.0)
    assert set(pairs) == better
    better, pairs = drawn(1.0)
    assert len({c for c, _ in pairs}) == 50
    better, pairs = drawn(0.2)
    assert 0.55 < sum(pair in better for pair in pairs) / len(pairs) < 0.85


@both
def test_choices_of_better_ones_are_taken_more_often(objectives):
    """With one objective, as often as their weights say; a dominated one's never with two."""
    space = Space((FloatGene("x", 0.0, 1.0), ChoiceGene("c", tuple(range(8)))))
    sampler = CmaEs(space, 1, {"redraw": 0.0}, objectives)
    outcomes = tell(sampler, lambda g: (g["x"], g["x"])[:objectives], 8)
    ranked = [o.genome["c"] for o in sorted(outcomes, key=lambda o: o.losses)]
    assert sorted(ranked) == list(range(8))
    drawn = [g["c"] for g in sampler.ask(800)]
    weights = np.log(4.5) - np.log([1, 2, 3, 4]) if objectives == 1 else np.array([1.0, 0.0, 0.0, 0.0])
    expected = 800 * weights / weights.sum()
    assert [drawn.count(c) for c in ranked[:4]] == pytest.approx(expected, abs=40)


@both
def test_a_gene_that_is_switched_on_again_is_where_it_was(objectives):
    space = Space(
        (ChoiceGene("kind", ("plain", "rich")), FloatGene("gain", 0.0, 1.0, when=(("kind", ("rich",)),)))
    )
    sampler = CmaEs(space, 0, {"sigma": 1e-3, "redraw": 1.0}, objectives)
    first = sampler.ask(10)
    hidden = [
        point[1] for (point, _), genome in zip(sampler._drawn, first, strict=True) if "gain" not in genome
    ]
    sampler.tell([Outcome(g, (0.0, 0.0)[:objectives] if g["kind"] == "plain" else None) for g in first])
    where = hidden if objectives > 1 else [sampler._strategy._deap.centroid[0]]
    gains = [g["gain"] for g in sampler.ask(40) if "gain" in g]
    assert len(gains) > 10
    assert all(min(abs(gain - u) for u in where) < 0.006 for gain in gains)
