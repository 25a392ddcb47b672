"""The genetic algorithm, checked by brute force and by counting children."""

import itertools
import random

import numpy as np
import pytest
from deap import tools

from hebbevo.samplers import Genetic, Outcome
from hebbevo.samplers.deap_adapter import Individual, set_fitness
from hebbevo.space import ChoiceGene, FloatGene, IntGene, Space, canonical
from tests.samplers.conftest import assert_best_by_front_and_crowding

PLANE = Space((FloatGene("x", 0.0, 1.0), FloatGene("y", 0.0, 1.0)))
STILL = {"crossover_probability": 0.0, "mutation_genes": 0.0}
MIXING = {"crossover_probability": 1.0, "mutation_genes": 0.0}


def after_first_generation(space, losses, seed=0, settings=None):
    """A sampler that has the given losses for its first generation, and that generation."""
    sampler = Genetic(space, seed, settings or {})
    outcomes = [Outcome(genome, loss) for genome, loss in zip(sampler.ask(len(losses)), losses, strict=True)]
    sampler.tell(outcomes)
    return sampler, [outcome.genome for outcome in outcomes]


@pytest.fixture
def seeded_global_random():
    state = random.getstate()
    random.seed(0)
    yield
    random.setstate(state)


def children_of(sampler, n):
    """The children of ``n`` pairs of parents, of which none is redrawn for having been seen."""
    return [sampler.space.from_unit(np.array(child)) for _ in range(n) for child in sampler.vary()]


@pytest.mark.parametrize("seed", range(6))
def test_selection_is_by_front_and_then_by_crowding(seed):
    rng = np.random.default_rng(seed)
    sampler = Genetic(PLANE, seed, {})
    chosen = set()
    for _ in range(4):
        outcomes = [Outcome(genome, tuple(rng.random(2).tolist())) for genome in sampler.ask(16)]
        sampler.tell(outcomes)
        pool = [*chosen, *(outcome.losses for outcome in outcomes)]
        chosen = {parent.fitness.values for parent in sampler.parents}
        assert len(chosen) == 16
        assert_best_by_front_and_crowding({pool.index(losses) for losses in chosen}, np.array(pool))


@pytest.mark.usefixtures("seeded_global_random")
def test_failed_trainings_never_become_parents():
    sampler, genomes = after_first_generation(
        PLANE, [None, (0.0, 1.0), None, (1.0, 0.0), None, (2.0, 2.0)], settings=STILL
    )
    alive = [genomes[i] for i in (1, 3, 5)]
    assert sorted(canonical(parent.genome) for parent in sampler.parents) == sorted(map(canonical, alive))
    assert all(child in [pytest.approx(genome) for genome in alive] for child in children_of(sampler, 20))


@pytest.mark.usefixtures("seeded_global_random")
def test_better_parents_have_more_children():
    losses = [(float(i), float(i)) for i in range(10)]
    sampler, genomes = after_first_generation(PLANE, losses, settings=STILL)
    children = children_of(sampler, 200)
    counts = [sum(child == pytest.approx(genome) for child in children) for genome in genomes]
    # the better of two of ten wins: 9/45 of the tournaments have the best in them, none is won by the worst
    assert counts[0] == pytest.approx(400 * 9 / 45, rel=0.3)
    assert counts[-1] == 0


@pytest.mark.usefixtures("seeded_global_random")
def test_without_crossover_and_mutation_a_child_is_a_parent():
    sampler, genomes = after_first_generation(PLANE, [(0.0, 1.0), (1.0, 0.0)], settings=STILL)
    assert all(child in [pytest.approx(genome) for genome in genomes] for child in children_of(sampler, 6))


@pytest.mark.usefixtures("seeded_global_random")
def test_crossover_keeps_the_mean_of_the_parents_on_every_axis():
    """Simulated binary crossover is symmetric: inside the bounds, two children average to their parents."""
    wide = Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(200)))
    sampler, genomes = after_first_generation(
        wide, [(0.0, 1.0), (1.0, 0.0)], settings={**MIXING, "crossover_eta": 1000.0}
    )
    one, two = children_of(sampler, 1)
    middle = {name: (genomes[0][name] + genomes[1][name]) / 2 for name in one}
    assert {name: (one[name] + two[name]) / 2 for name in one} == pytest.approx(middle, abs=1e-3)
    mixed = sum(abs(one[name] - genomes[0][name]) > abs(one[name] - genomes[1][name]) for name in one)
    assert 0.3 < min(mixed, 200 - mixed) / 100 < 1.0


@pytest.mark.usefixtures("seeded_global_random")
def test_the_number_of_mutated_genes_is_the_setting_on_average():
    genes = tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(20))
    choices = tuple(ChoiceGene(f"c{i}", tuple(range(1000))) for i in range(20))
    settings = {"crossover_probability": 0.0, "mutation_genes": 4.0}
    sampler, parents = after_first_generation(
        Space(genes + choices), [(0.0, 1.0), (1.0, 0.0)], settings=settings
    )
    changes = [
        min(sum(abs(child[name] - parent[name]) > 1e-9 for name in child) for parent in parents)
        for child in children_of(sampler, 150)
    ]
    assert np.mean(changes) == pytest.approx(4.0, rel=0.1)


@pytest.mark.usefixtures("seeded_global_random")
def test_of_two_parents_on_one_front_the_less_crowded_has_more_children():
    front = [(0.0, 1.0), (0.49, 0.51), (0.5, 0.5), (0.51, 0.49), (1.0, 0.0)]
    sampler, genomes = after_first_generation(PLANE, front, settings=STILL)
    children = children_of(sampler, 200)
    counts = [sum(child == pytest.approx(genome) for child in children) for genome in genomes]
    # each is in 4 of 10 tournaments. The ends win all of them, or the one against each other by its order
    assert min(counts[0], counts[4]) > 400 * 3 / 10 * 0.8
    assert counts[2] == 0


def test_two_parents_are_enough_for_children():
    sampler, genomes = after_first_generation(
        PLANE, [(0.0, 1.0), (1.0, 0.0)], settings={"crossover_eta": 1000.0, "mutation_eta": 1000.0}
    )
    for child in sampler.ask(40):
        for name in child:  # each gene is near that of a parent
            assert min(abs(child[name] - genome[name]) for genome in genomes) < 0.05


def test_the_random_numbers_of_children_depend_on_the_seed_and_on_the_generation():
    parents = [
        Individual(np.array(point), Outcome(PLANE.from_unit(np.array(point)), (0.0, 0.0)))
        for point in ([0.2, 0.3], [0.7, 0.6])
    ]
    set_fitness(parents)

    def children(seed, generations):
        sampler = Genetic(PLANE, seed, {})
        sampler.parents = parents
        for _ in range(generations):
            sampler.ask(5)
            sampler.tell([])  # all of it was cut off, so that parents and known genomes are the same
        return {canonical(genome) for genome in sampler.ask(5)}

    assert children(0, 0) == children(0, 0)
    assert children(0, 0) != children(1, 0)
    assert children(0, 0) != children(0, 1)


def test_the_random_numbers_of_niches_depend_on_the_seed_and_on_the_generation():
    rng = np.random.default_rng(0)
    points = rng.random((40, 2))
    parents = [Individual(p, Outcome(PLANE.from_unit(p), (p[0], 1.0 - p[0]))) for p in points]

    def chosen(seed, generations):
        sampler = Genetic(PLANE, seed, {"selection": "nsga3"})
        for _ in range(generations + 1):
            sampler.parents = parents
            set_fitness(parents)
            sampler.ask(12)
            sampler.tell([])
        return {canonical(parent.genome) for parent in sampler.parents}

    assert chosen(0, 0) == chosen(0, 0)
    assert chosen(0, 0) != chosen(1, 0)
    assert chosen(0, 0) != chosen(0, 1)


@pytest.mark.parametrize(("objectives", "population", "parts"), [(2, 2, 1), (2, 4, 2), (2, 6, 3), (3, 10, 3)])
def test_niches_divide_an_axis_until_there_would_be_more_than_parents(
    objectives, population, parts, monkeypatch
):
    """With one dimension more than objectives, p parts make C(p + objectives, p) niches."""
    asked = []

    def recorded(objectives, parts):
        asked.append((objectives, parts))
        return points(objectives, parts)

    points = tools.uniform_reference_points
    monkeypatch.setattr(tools, "uniform_reference_points", recorded)
    sampler = Genetic(PLANE, 0, {"selection": "nsga3"}, objectives)
    sampler.tell([Outcome(genome, (genome["x"],) * objectives) for genome in sampler.ask(population)])
    assert asked == [(objectives, parts)]


@pytest.mark.usefixtures("seeded_global_random")
def test_choices_are_swapped_and_not_blended():
    space = Space(tuple(ChoiceGene(f"c{i}", tuple(range(10))) for i in range(30)))
    # children may lie far from their parents, so that a blend would be another choice
    sampler, genomes = after_first_generation(
        space, [(0.0, 1.0), (1.0, 0.0)], settings={**MIXING, "crossover_eta": 0.0}
    )
    one, two = children_of(sampler, 1)
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


@pytest.mark.usefixtures("seeded_global_random")
def test_a_gene_that_one_parent_lacks_comes_from_the_other():
    sampler, genomes = after_first_generation(
        CONDITIONAL, [(0.0, 1.0), (1.0, 0.0)], settings={**MIXING, "crossover_eta": 1000.0}
    )
    kinds = sorted(genome["kind"] for genome in genomes)
    assert kinds == ["plain", "rich"]  # two strata, one each
    gains = [genome["gain"] for genome in genomes if "gain" in genome]
    for child in children_of(sampler, 10):
        if child["kind"] == "rich":
            assert [child["gain"]] == pytest.approx(gains, abs=1e-12)


@pytest.mark.usefixtures("seeded_global_random")
def test_a_gene_that_both_parents_lack_is_drawn_afresh():
    sampler = Genetic(CONDITIONAL, 0, {**STILL, "mutation_genes": 1.0})
    genomes = sampler.ask(12)
    sampler.tell([Outcome(g, (1.0, 1.0) if g["kind"] == "plain" else None) for g in genomes])
    assert all("gain" not in parent.genome for parent in sampler.parents)
    gains = [child["gain"] for child in children_of(sampler, 100) if child["kind"] == "rich"]
    assert len(gains) > 10
    assert min(gains) < 0.25 and max(gains) > 0.75 and len(set(gains)) == len(gains)


def test_a_generation_has_no_genome_twice_and_none_that_was_seen():
    grid = Space(tuple(IntGene(f"n{i}", 0, 9) for i in range(4)))
    sampler = Genetic(grid, 0, {})
    seen = set()
    for generation in range(12):
        genomes = sampler.ask(20)
        names = {canonical(genome) for genome in genomes}
        if generation:  # the hypercube of the first generation may have equal ints
            assert len(names) == 20
            assert not names & seen
        seen |= names
        sampler.tell([Outcome(g, (sum(g.values()) + 0.0, 9.0 - g["n0"])) for g in genomes])


def test_a_first_generation_is_a_latin_hypercube():
    genomes = Genetic(PLANE, 0, {}).ask(10)
    for axis in "xy":
        assert sorted(int(genome[axis] * 10) for genome in genomes) == list(range(10))


def test_an_exhausted_space_is_sampled_again():
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
    sampler, _ = after_first_generation(PLANE, [(0.0, 1.0), (1.0, 0.0), (0.4, 0.4), (2.0, 2.0)])
    parents = {canonical(parent.genome) for parent in sampler.parents}
    for _ in range(3):
        sampler.tell([Outcome(genome, None) for genome in sampler.ask(4)])
    assert {canonical(parent.genome) for parent in sampler.parents} == parents
