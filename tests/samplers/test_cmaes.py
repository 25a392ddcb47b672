"""The CMA-ES sampler: bounds, ints, choices and inactive genes, for one objective and for two."""

import numpy as np
import pytest

from hebbevo.samplers import CmaEs, Outcome
from hebbevo.samplers.numeric_axes import NumericAxes
from hebbevo.space import ChoiceGene, FloatGene, IntGene, Space, canonical
from tests.samplers.conftest import cube, place, run_generation, search

both = pytest.mark.parametrize("objectives", [1, 2])


@both
def test_the_strategy_learns_from_the_reflected_point(objectives):
    """If the point outside the cube were kept, means and parents would differ from the genomes trained."""
    sampler = CmaEs(cube(4), 0, {"sigma": 1.0}, objectives)
    for _ in range(20):
        outcomes = run_generation(sampler, lambda g: (g["x0"] - g["x1"], g["x2"])[:objectives], 10)
        deap = sampler.strategy.deap
        parents = np.array(deap.parents if objectives > 1 else [deap.centroid])
        assert ((parents >= 0) & (parents <= 1)).all()
        if objectives > 1:
            genomes = {canonical(o.genome): place(o.genome).tolist() for o in outcomes}
            assert all(list(p) == genomes.get(canonical(p.genome), list(p)) for p in deap.parents)


@both
def test_the_margin_keeps_ints_with_little_influence_in_motion(objectives, monkeypatch):
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
    monkeypatch.setattr(NumericAxes, "least_deviations", lambda self, centre: np.full(len(centre), 1e-9))
    assert missing() > with_margin == 0


@both
def test_a_space_of_choices_only_is_searched(objectives):
    space = Space(tuple(ChoiceGene(f"c{i}", ("a", "b", "c", "d")) for i in range(6)))

    def losses(genome):
        wrong = sum(value != "abcd"[i % 4] for i, value in enumerate(genome.values()))
        return (float(wrong), float(wrong))[:objectives]

    for seed in range(2):  # of 4096 genomes, 600 drawn at random seldom hold the best
        found = search(CmaEs(space, seed, {}, objectives), losses, 20, 30)
        assert min(o.losses for o in found)[0] == 0


@both
def test_choices_come_from_the_better_half_except_for_redraws(objectives):
    space = Space((FloatGene("x", 0.0, 1.0), ChoiceGene("c", tuple(range(50))), ChoiceGene("e", (1, 2))))

    def drawn(redraw):
        sampler = CmaEs(space, 0, {"redraw": redraw}, objectives)
        outcomes = run_generation(sampler, lambda g: (g["x"], 1 - g["x"])[:objectives], 20)
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
def test_choices_of_better_points_are_taken_more_often(objectives):
    """With one objective, in proportion to the weights; with two, never those of a dominated point."""
    space = Space((FloatGene("x", 0.0, 1.0), ChoiceGene("c", tuple(range(8)))))
    sampler = CmaEs(space, 1, {"redraw": 0.0}, objectives)
    outcomes = run_generation(sampler, lambda g: (g["x"], g["x"])[:objectives], 8)
    ranked = [o.genome["c"] for o in sorted(outcomes, key=lambda o: o.losses)]
    assert sorted(ranked) == list(range(8))
    drawn = [g["c"] for g in sampler.ask(800)]
    weights = np.log(4.5) - np.log([1, 2, 3, 4]) if objectives == 1 else np.array([1.0, 0.0, 0.0, 0.0])
    expected = 800 * weights / weights.sum()
    assert [drawn.count(c) for c in ranked[:4]] == pytest.approx(expected, abs=40)


@both
def test_a_gene_that_becomes_active_again_keeps_its_place(objectives):
    space = Space(
        (ChoiceGene("kind", ("plain", "rich")), FloatGene("gain", 0.0, 1.0, when=(("kind", ("rich",)),)))
    )
    sampler = CmaEs(space, 0, {"sigma": 1e-3, "redraw": 1.0}, objectives)
    first = sampler.ask(10)
    hidden = [
        point[1] for (point, _), genome in zip(sampler.drawn, first, strict=True) if "gain" not in genome
    ]
    sampler.tell([Outcome(g, (0.0, 0.0)[:objectives] if g["kind"] == "plain" else None) for g in first])
    where = hidden if objectives > 1 else [sampler.strategy.deap.centroid[0]]
    gains = [g["gain"] for g in sampler.ask(40) if "gain" in g]
    assert len(gains) > 10
    assert all(min(abs(gain - u) for u in where) < 0.006 for gain in gains)


def test_a_single_objective_search_is_replayed_exactly():
    space = Space((FloatGene("x", 0.0, 1.0), IntGene("n", 1, 9), ChoiceGene("c", ("p", "q", "r"))))

    def losses(genome):
        return None if genome["x"] > 0.8 else (genome["x"] * genome["n"] + (genome["c"] == "q"),)

    first = CmaEs(space, 5, {}, 1)
    history = [run_generation(first, losses, 8) for _ in range(10)]
    second = CmaEs(space, 5, {}, 1)
    for outcomes in history:
        assert second.ask(8) == [o.genome for o in outcomes]
        second.tell(outcomes)
