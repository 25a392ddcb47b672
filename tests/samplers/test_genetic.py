"""The genetic algorithm against oracles made by hand."""

import itertools
import math
import random

import numpy as np
import pytest

from hebbevo.samplers import Genetic, Outcome
from hebbevo.space.genes import ChoiceGene, FloatGene, IntGene, Space, canonical

PLANE = Space((FloatGene("x", 0.0, 1.0), FloatGene("y", 0.0, 1.0)))
STILL = {"crossover_probability": 0.0, "mutation_genes": 0.0}
MIXING = {"crossover_probability": 1.0, "mutation_genes": 0.0}


def told(space, losses, seed=0, settings=None):
    """A sampler that knows the losses of its first generation, and that generation."""
    sampler = Genetic(space, seed, settings or {})
    outcomes = [Outcome(genome, loss) for genome, loss in zip(sampler.ask(len(losses)), losses, strict=True)]
    sampler.tell(outcomes)
    return sampler, [outcome.genome for outcome in outcomes]


@pytest.fixture
def dice():
    state = random.getstate()
    random.seed(0)
    yield
    random.setstate(state)


def litters(sampler, n):
    """The children of ``n`` pairs of parents, before any is turned away for having been seen."""
    return [sampler.space.from_unit(np.array(child)) for _ in range(n) for child in sampler._vary()]


def dominates(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def fronts(points):
    left = list(points)
    while left:
        front = [p for p in left if not any(dominates(q, p) for q in left)]
        yield front
        left = [p for p in left if p not in front]


def crowding(front):
    distance = dict.fromkeys(front, 0.0)
    for objective in range(len(front[0])):
        line = sorted(front, key=lambda point: point[objective])
        spread = line[-1][objective] - line[0][objective]
        distance[line[0]] = distance[line[-1]] = math.inf
        for before, point, after in zip(line, line[1:], line[2:], strict=False):
            distance[point] += (after[objective] - before[objective]) / spread
    return distance


def assert_selected(chosen, pool):
    """By brute force: whole fronts first; in the last, nobody left out is less crowded than a chosen one."""
    room = len(chosen)
    for front in fronts(pool):
        distance = crowding(front)
        inside = [point for point in front if point in chosen]
        assert len(inside) == min(room, len(front))
        if inside and len(inside) < len(front):
            outside = [point for point in front if point not in chosen]
            assert min(map(distance.get, inside)) >= max(map(distance.get, outside))
        room -= len(inside)


@pytest.mark.parametrize("seed", range(6))
def test_selection_is_by_front_and_then_by_crowding(seed):
    rng = np.random.default_rng(seed)
    sampler = Genetic(PLANE, seed, {})
    chosen = set()
    for _ in range(4):
        outcomes = [Outcome(genome, tuple(rng.random(2).tolist())) for genome in sampler.ask(16)]
        sampler.tell(outcomes)
        pool = [*chosen, *(outcome.losses for outcome in outcomes)]
        chosen = {parent.fitness.values for parent in sampler._parents}
        assert len(chosen) == 16
        assert_selected(chosen, pool)


@pytest.mark.usefixtures("dice")
def test_failed_trainings_never_become_parents():
    sampler, genomes = told(PLANE, [None, (0.0, 1.0), None, (1.0, 0.0), None, (2.0, 2.0)], settings=STILL)
    alive = [genomes[i] for i in (1, 3, 5)]
    assert sorted(canonical(parent.genome) for parent in sampler._parents) == sorted(map(canonical, alive))
    assert all(child in [pytest.approx(genome) for genome in alive] for child in litters(sampler, 20))


@pytest.mark.usefixtures("dice")
def test_better_parents_have_more_children():
    losses = [(float(i), float(i)) for i in range(10)]
    sampler, genomes = told(PLANE, losses, settings=STILL)
    children = litters(sampler, 200)
    counts = [sum(child == pytest.approx(genome) for child in children) for genome in genomes]
    # the better of two of ten wins: 9/45 of the tournaments have the best in them, none is won by the worst
    assert counts[0] == pytest.approx(400 * 9 / 45, rel=0.3)
    assert counts[-1] == 0


@pytest.mark.usefixtures("dice")
def test_without_crossover_and_mutation_a_child_is_a_parent():
    sampler, genomes = told(PLANE, [(0.0, 1.0), (1.0, 0.0)], settings=STILL)
    assert all(child in [pytest.approx(genome) for genome in genomes] for child in litters(sampler, 6))


@pytest.mark.usefixtures("dice")
def test_crossover_keeps_the_mean_of_the_parents_on_every_axis():
    """Simulated binary crossover is symmetric: inside the bounds, two children average to their parents."""
    wide = Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(200)))
    sampler, genomes = told(wide, [(0.0, 1.0), (1.0, 0.0)], settings={**MIXING, "crossover_eta": 1000.0})
    one, two = litters(sampler, 1)
    middle = {name: (genomes[0][name] + genomes[1][name]) / 2 for name in one}
    assert {name: (one[name] + two[name]) / 2 for name in one} == pytest.approx(middle, abs=1e-3)
    mixed = sum(abs(one[name] - genomes[0][name]) > abs(one[name] - genomes[1][name]) for name in one)
    assert 0.3 < min(mixed, 200 - mixed) / 100 < 1.0


@pytest.mark.usefixtures("dice")
def test_the_number_of_mutated_genes_is_the_setting_on_average():
    genes = tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(20))
    choices = tuple(ChoiceGene(f"c{i}", tuple(range(1000))) for i in range(20))
    settings = {"crossover_probability": 0.0, "mutation_genes": 4.0}
    sampler, parents = told(Space(genes + choices), [(0.0, 1.0), (1.0, 0.0)], settings=settings)
    changes = [
        min(sum(abs(child[name] - parent[name]) > 1e-9 for name in child) for parent in parents)
        for child in litters(sampler, 150)
    ]
    assert np.mean(changes) == pytest.approx(4.0, rel=0.1)


@pytest.mark.usefixtures("dice")
def test_choices_are_swapped_and_not_blended():
    space = Space(tuple(ChoiceGene(f"c{i}", tuple(range(10))) for i in range(30)))
    sampler, genomes = told(space, [(0.0, 1.0), (1.0, 0.0)], settings=MIXING)
    one, two = litters(sampler, 1)
    for name in one:
        assert sorted([one[name], two[name]]) == sorted(genome[name] for genome in genomes)
    swapped = sum(one[name] != genomes[0][name] for name in one)
    assert 0 < swapped < 30


CONDITIONAL = Space(
    (
        ChoiceGene("kind", ("plain", "rich")),
        FloatGene("gain", 0.0, 1.0, when=(("kind", ("rich",)),)),
        FloatGene("size", 0.0, 1.0),
    )
)


@pytest.mark.usefixtures("dice")
def test_a_gene_that_one_parent_lacks_comes_from_the_other():
    sampler, genomes = told(
        CONDITIONAL, [(0.0, 1.0), (1.0, 0.0)], settings={**MIXING, "crossover_eta": 1000.0}
    )
    kinds = sorted(genome["kind"] for genome in genomes)
    assert kinds == ["plain", "rich"]  # two strata, one each
    gains = [genome["gain"] for genome in genomes if "gain" in genome]
    for child in litters(sampler, 10):
        if child["kind"] == "rich":
            assert [child["gain"]] == pytest.approx(gains, abs=1e-12)


@pytest.mark.usefixtures("dice")
def test_a_gene_that_both_parents_lack_is_drawn_afresh():
    sampler = Genetic(CONDITIONAL, 0, {**STILL, "mutation_genes": 1.0})
    genomes = sampler.ask(12)
    sampler.tell([Outcome(g, (1.0, 1.0) if g["kind"] == "plain" else None) for g in genomes])
    assert all("gain" not in parent.genome for parent in sampler._parents)
    gains = [child["gain"] for child in litters(sampler, 100) if child["kind"] == "rich"]
    assert len(gains) > 10
    assert min(gains) < 0.25 and max(gains) > 0.75 and len(set(gains)) == len(gains)


def test_a_generation_brings_nothing_twice_and_nothing_that_was_seen():
    grid = Space(tuple(IntGene(f"n{i}", 0, 9) for i in range(4)))
    sampler = Genetic(grid, 0, {})
    seen = set()
    for generation in range(12):
        genomes = sampler.ask(20)
        names = {canonical(genome) for genome in genomes}
        if generation:  # the hypercube of the first has no memory
            assert len(names) == 20
            assert not names & seen
        seen |= names
        sampler.tell([Outcome(g, (sum(g.values()) + 0.0, 9.0 - g["n0"])) for g in genomes])


def test_a_first_generation_is_a_latin_hypercube():
    genomes = Genetic(PLANE, 0, {}).ask(10)
    for axis in "xy":
        assert sorted(int(genome[axis] * 10) for genome in genomes) == list(range(10))


def test_an_exhausted_space_is_asked_again():
    space = Space((IntGene("a", 0, 1), ChoiceGene("b", ("p", "q"))))
    everything = {canonical({"a": a, "b": b}) for a, b in itertools.product((0, 1), "pq")}
    sampler = Genetic(space, 0, {})
    found = set()
    for _ in range(3):
        genomes = sampler.ask(9)
        found |= {canonical(genome) for genome in genomes}
        sampler.tell([Outcome(genome, (float(genome["a"]), 0.0)) for genome in genomes])
    assert found == everything


def test_the_front_of_the_past_is_kept_over_generations_of_failures():
    sampler, _ = told(PLANE, [(0.0, 1.0), (1.0, 0.0), (0.4, 0.4), (2.0, 2.0)])
    parents = {canonical(parent.genome) for parent in sampler._parents}
    for _ in range(3):
        sampler.tell([Outcome(genome, None) for genome in sampler.ask(4)])
    assert {canonical(parent.genome) for parent in sampler._parents} == parents
