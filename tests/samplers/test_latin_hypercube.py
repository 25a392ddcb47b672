import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import qmc

from hebbevo.samplers import SAMPLERS, LatinHypercube
from hebbevo.space import ChoiceGene, FloatGene, Space
from tests.samplers.conftest import cube, place, search

TRIALS = 60


def points(sampler, sizes):
    """The points that are asked in generations of these sizes, of which each is trained whole."""
    return np.array([place(each.genome) for n in sizes for each in search(sampler, lambda _: (0.0,), n, 1)])


def new(trials=TRIALS, seed=0, dimension=3):
    return LatinHypercube(cube(dimension), seed, {}, 1, trials=trials)


@pytest.mark.parametrize("sizes", [[60], [20, 20, 20], [7] * 8 + [4]])
def test_every_part_of_every_axis_has_one_trial_however_the_trials_are_divided_into_generations(sizes):
    found = points(new(), sizes)
    for axis in found.T:
        assert sorted(np.floor(axis * TRIALS).astype(int)) == list(range(TRIALS))
    assert (found == points(new(), [TRIALS])).all()


def test_the_design_is_that_of_scipy():
    rng = np.random.default_rng([3, 0, 2])
    assert points(new(seed=3), [TRIALS]) == pytest.approx(qmc.LatinHypercube(3, rng=rng).random(TRIALS))


def test_a_search_that_is_extended_goes_on_with_another_hypercube():
    found = points(new(), [50, 50, 20])
    assert (found[:TRIALS] == points(new(), [TRIALS])).all()
    for axis in found[TRIALS:].T:
        assert sorted(np.floor(axis * TRIALS).astype(int)) == list(range(TRIALS))


def test_a_last_generation_that_was_cut_short_loses_no_point_of_the_design():
    sampler = new()
    first = search(sampler, lambda _: (0.0,), 25, 1)
    cut = sampler.ask(25)[:5]
    sampler.tell([replace(first[0], genome=genome) for genome in cut])
    rest = sampler.ask(25)
    assert (np.array([place(genome) for genome in rest]) == points(new(), [TRIALS])[30:55]).all()


def test_choices_are_as_frequent_as_each_other_and_other_seeds_give_other_points():
    space = Space((ChoiceGene("form", ("a", "b", "c", "d")), FloatGene("x", 0.0, 1.0)))
    genomes = LatinHypercube(space, 0, {}, trials=80).ask(80)
    assert [sum(genome["form"] == form for genome in genomes) for form in "abcd"] == [20] * 4
    assert genomes != LatinHypercube(space, 1, {}, trials=80).ask(80)


def test_without_a_number_of_trials_the_first_generation_is_the_hypercube():
    found = points(new(trials=None), [20, 20])
    for half in (found[:20], found[20:]):
        for axis in half.T:
            assert sorted(np.floor(axis * 20).astype(int)) == list(range(20))


def test_no_result_ever_changes_it():
    assert SAMPLERS["latin_hypercube"].kind.not_chosen([50] * 20) == 1000
    assert math.isinf(LatinHypercube.learns_after)
