"""A sampler is replayed to the state of an earlier one, or refused at the first other genome."""

import pytest

from hebbevo.errors import ReplayMismatch
from hebbevo.samplers import SAMPLERS, Outcome, Sampler
from hebbevo.samplers.replay import PastGeneration, replay
from hebbevo.space import FloatGene, Space

POPULATION = 6


def new_sampler() -> Sampler:
    return SAMPLERS["ga"](Space((FloatGene("x", low=0.0, high=1.0),)), seed=0, settings={}, objectives=1)


def searched(generations: int) -> tuple[Sampler, list[PastGeneration]]:
    """A sampler after some generations, the last of which is cut short, and their record."""
    sampler, past = new_sampler(), []
    for number in range(generations):
        size = POPULATION if number < generations - 1 else POPULATION - 2
        genomes = sampler.ask(POPULATION, number / generations)[:size]
        outcomes = [Outcome(genome, (genome["x"],)) for genome in genomes]
        sampler.tell(outcomes)
        past.append(PastGeneration(number / generations, genomes, outcomes))
    return sampler, past


def test_a_replayed_sampler_asks_for_what_the_first_one_asks_for() -> None:
    first, past = searched(4)
    second = new_sampler()
    replay(second, POPULATION, past)
    assert second.generation == 4
    assert second.ask(POPULATION, 1.0) == first.ask(POPULATION, 1.0)


def test_a_last_generation_without_outcomes_is_asked_for_and_stays_open() -> None:
    _, (*earlier, last) = searched(3)
    sampler = new_sampler()
    replay(sampler, POPULATION, [*earlier, PastGeneration(last.progress, last.genomes, None)])
    assert sampler.generation == 2
    sampler.tell(last.outcomes)
    assert sampler.generation == 3


def test_other_genomes_are_a_mismatch_that_names_the_generation() -> None:
    _, past = searched(3)
    wrong = [{"x": 0.25}, *past[1].genomes[1:]]
    past[1] = PastGeneration(past[1].progress, wrong, [Outcome(genome, (0.0,)) for genome in wrong])
    with pytest.raises(ReplayMismatch, match=r"^generation 1 is not replayed: .* other genomes"):
        replay(new_sampler(), POPULATION, past)
