"""What every sampler promises; a new one is tested here by being registered."""

import copy
import json
import math
import random

import moocore
import numpy as np
import pytest

from hebbevo.errors import HebbevoError, SpaceError
from hebbevo.samplers import SAMPLERS, Outcome
from hebbevo.samplers.base import Sampler
from hebbevo.space import ChoiceGene, FloatGene, Genome, IntGene, Space, canonical

N = 12
MIXED = Space(
    (
        FloatGene("rate", 1e-4, 1e-1, log=True),
        FloatGene("shift", -2.0, 3.0),
        ChoiceGene("kind", ("plain", "deep", 3, True, 0.5)),
        IntGene("depth", 1, 4, when=(("kind", "deep"),)),
        IntGene("width", 8, 4096, log=True),
        IntGene("stride", 10, 95, step=7, when=(("kind", "deep"), ("depth", 4))),
        ChoiceGene("bias", (True, False), when=(("depth", 4),)),
        FloatGene("gain", 0.0, 1.0, when=(("bias", True),)),
    )
)
SPHERE = Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(10)))

every_sampler = pytest.mark.parametrize("kind", SAMPLERS.values(), ids=SAMPLERS.keys())


def two_spheres(genome: Genome) -> tuple[float, float]:
    x = np.array([value for value in genome.values() if isinstance(value, float)])
    return float(((x - 0.3) ** 2).sum()), float(((x - 0.7) ** 2).sum())


def no_failure(genome: Genome) -> tuple[float, float] | None:
    return two_spheres(genome)


def some_failures(genome: Genome) -> tuple[float, float] | None:
    return None if genome["rate"] > 1e-2 else two_spheres(genome)


def all_failures(genome: Genome) -> tuple[float, float] | None:
    return None


def evolve(sampler: Sampler, losses, sizes: list[int]) -> list[list[Outcome]]:
    """Ask `N` genomes for each size and tell the first of them, as many as the size says."""
    history = []
    for size in sizes:
        outcomes = [Outcome(genome, losses(genome)) for genome in sampler.ask(N)[:size]]
        sampler.tell(outcomes)
        history.append(outcomes)
    return history


def recorded(history: list[list[Outcome]]) -> list[list[Outcome]]:
    """The history as a file gives it back: equal values in other objects."""
    return [
        [Outcome(json.loads(json.dumps(o.genome)), o.losses and tuple(o.losses)) for o in outcomes]
        for outcomes in history
    ]


@every_sampler
@pytest.mark.parametrize("losses", [no_failure, some_failures, all_failures])
def test_every_generation_has_the_size_asked_for_and_lies_in_the_space(kind, losses):
    for seed in range(3):
        for outcomes in evolve(kind(MIXED, seed, {}), losses, [N] * 8):
            assert len(outcomes) == N
            assert all(MIXED.contains(outcome.genome) for outcome in outcomes)


@every_sampler
def test_nested_conditions_are_met_in_the_long_run(kind):
    genomes = [
        o.genome for seed in range(5) for g in evolve(kind(MIXED, seed, {}), no_failure, [N] * 8) for o in g
    ]
    assert {name for genome in genomes for name in genome} == {gene.name for gene in MIXED.genes}


@every_sampler
@pytest.mark.parametrize("n", [1, 2, 3, 7, 50])
def test_any_number_can_be_asked(kind, n):
    sampler = kind(MIXED, 0, {})
    for _ in range(3):
        genomes = sampler.ask(n)
        assert len(genomes) == n
        sampler.tell([Outcome(genome, two_spheres(genome)) for genome in genomes])


@every_sampler
def test_genomes_are_plain_data(kind):
    for outcomes in evolve(kind(MIXED, 0, {}), no_failure, [N] * 6):
        for outcome in outcomes:
            assert {type(value) for value in outcome.genome.values()} <= {float, int, str, bool}
            assert json.loads(json.dumps(outcome.genome, allow_nan=False)) == outcome.genome


@every_sampler
def test_the_seed_decides_the_genomes(kind):
    def genomes(seed: int) -> list[list[Outcome]]:
        return evolve(kind(MIXED, seed, {}), some_failures, [N] * 5)

    assert genomes(7) == genomes(7)
    for one, other in zip(genomes(7), genomes(8), strict=True):
        assert one != other


@every_sampler
@pytest.mark.parametrize("losses", [no_failure, some_failures, all_failures])
@pytest.mark.parametrize("sizes", [[N] * 6, [N, 5, N, 0, 1, N]], ids=["whole", "cut short"])
def test_a_new_sampler_told_the_record_asks_what_the_old_one_would_have(kind, losses, sizes):
    history = evolve(kind(MIXED, 3, {}), losses, sizes)
    for killed_in in range(len(sizes)):
        resumed = kind(MIXED, 3, {})
        for outcomes in recorded(history[:killed_in]):
            assert resumed.ask(N)[: len(outcomes)] == [outcome.genome for outcome in outcomes]
            resumed.tell(outcomes)
        assert resumed.generation == killed_in
        assert evolve(resumed, losses, sizes[killed_in:]) == history[killed_in:]


@every_sampler
def test_a_search_goes_on_after_a_first_generation_in_which_everything_failed(kind):
    sampler = kind(MIXED, 0, {})
    failed = evolve(sampler, all_failures, [N])[0]
    later = evolve(sampler, no_failure, [N, N, N])
    assert canonical(later[0][0].genome) not in {canonical(outcome.genome) for outcome in failed}


@every_sampler
def test_failure_after_failure_is_met_with_new_genomes(kind):
    history = evolve(kind(MIXED, 0, {}), all_failures, [N] * 5)
    names = [canonical(outcome.genome) for outcomes in history for outcome in outcomes]
    assert len(set(names)) == 5 * N


@every_sampler
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_a_loss_that_is_no_finite_number_is_a_failure(kind, bad, place):
    def broken(genome: Genome) -> tuple[float, float] | None:
        if some_failures(genome):
            return two_spheres(genome)
        return (bad, 0.0) if place == 0 else (0.0, bad)

    def genomes(losses) -> list[list[Genome]]:
        history = evolve(kind(MIXED, 0, {}), losses, [N] * 5)
        return [[outcome.genome for outcome in outcomes] for outcomes in history]

    assert genomes(broken) == genomes(some_failures)


@every_sampler
def test_equal_losses_everywhere_do_no_harm(kind):
    for outcomes in evolve(kind(MIXED, 0, {}), lambda _: (0.5, 0.5), [N] * 5):
        assert all(MIXED.contains(outcome.genome) for outcome in outcomes)


@every_sampler
def test_asking_and_telling_out_of_turn_is_one_line(kind):
    sampler = kind(MIXED, 0, {})

    def refused(call, what: str) -> None:
        with pytest.raises(HebbevoError, match=rf"^{kind.__name__}\.\w+: .*{what}[^\n]*\Z"):
            call()

    refused(lambda: sampler.tell([]), "nothing was asked; call ask first")
    outcomes = [Outcome(genome, two_spheres(genome)) for genome in sampler.ask(N)]
    refused(lambda: sampler.ask(N), "generation 0 was not told yet")
    wrong = {
        "other genomes": [Outcome({**outcomes[0].genome, "shift": 0.125}, (0.0, 0.0)), *outcomes[1:]],
        "the wrong order": outcomes[::-1],
        "too many": [*outcomes, outcomes[0]],
        "the end only": outcomes[1:],
    }
    for told in wrong.values():
        refused(lambda told=told: sampler.tell(told), "not the genomes that were asked, in order")
    sampler.tell(outcomes)  # the refusals left everything as it was
    refused(lambda: sampler.tell(outcomes), "nothing was asked; call ask first")
    straight = kind(MIXED, 0, {})
    evolve(straight, no_failure, [N])
    assert sampler.ask(N) == straight.ask(N)


@every_sampler
def test_the_global_random_numbers_are_neither_used_nor_moved(kind):
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    histories = []
    for seed in (5, 6):
        random.seed(seed)
        np.random.seed(seed)
        histories.append(evolve(kind(MIXED, 0, {}), no_failure, [N] * 4))
        if seed == 5:
            assert (random.random(), np.random.random()) == expected
    assert histories[0] == histories[1]


@every_sampler
def test_what_is_given_stays_as_it_was_and_what_is_changed_later_does_no_harm(kind):
    settings = {name: knob.default for name, knob in kind.knobs.items()}
    before = dict(settings)
    sampler, straight = kind(MIXED, 0, settings), kind(MIXED, 0, {})
    for _ in range(4):
        asked = sampler.ask(N)
        assert asked == straight.ask(N)
        outcomes = [Outcome(genome, two_spheres(genome)) for genome in asked]
        copies = copy.deepcopy(outcomes)
        sampler.tell(outcomes)
        straight.tell(copies)
        assert outcomes == copies
        for genome in asked:
            genome.clear()
        outcomes.clear()
    assert settings == before
    settings.clear()
    assert sampler.ask(N) == straight.ask(N)


@every_sampler
def test_it_finds_a_better_front_than_random_search(kind):
    def volume(genomes: list[Genome]) -> float:
        return float(moocore.hypervolume(np.array([two_spheres(g) for g in genomes]), ref=[4.0, 4.0]))

    for seed in range(5):
        history = evolve(kind(SPHERE, seed, {}), no_failure, [N] * 20)
        found = [outcome.genome for outcomes in history for outcome in outcomes]
        points = np.random.default_rng(seed).random((len(found), SPHERE.dimension))
        assert volume(found) > 1.02 * volume([SPHERE.from_unit(point) for point in points])


@every_sampler
def test_an_unknown_setting_is_one_line(kind):
    with pytest.raises(SpaceError, match=r"\Asearch\.settings\.wobble: .*no such setting; [^\n]+\Z"):
        kind(MIXED, 0, {"wobble": 1.0})


@every_sampler
def test_a_setting_that_is_out_of_range_is_one_line(kind):
    for name, knob in kind.knobs.items():
        bad = ["nonsense", math.nan]
        bad += [knob.low - 1] if math.isfinite(knob.low) else []
        bad += [knob.high + 1] if math.isfinite(knob.high) else []
        for value in bad:
            with pytest.raises(SpaceError, match=rf"\Asearch\.settings\.{name}: [^\n]+; write [^\n]+\Z"):
                kind(MIXED, 0, {name: value})


@every_sampler
def test_every_setting_works_at_the_ends_of_its_range(kind):
    for name, knob in kind.knobs.items():
        for value in knob.choices or [bound for bound in (knob.low, knob.high) if math.isfinite(bound)]:
            for outcomes in evolve(kind(MIXED, 0, {name: value}), no_failure, [N] * 4):
                assert all(MIXED.contains(outcome.genome) for outcome in outcomes)


@every_sampler
@pytest.mark.parametrize(
    "space",
    [
        Space((ChoiceGene("only", ("one",)),)),
        Space((ChoiceGene("bias", (True, False)),)),
        Space((IntGene("depth", 1, 2), ChoiceGene("kind", ("a", "b"), when=(("depth", 2),)))),
    ],
    ids=["one genome", "two genomes", "three genomes"],
)
def test_a_space_with_fewer_genomes_than_a_generation_is_searched_all_the_same(kind, space):
    for outcomes in evolve(kind(space, 0, {}), lambda _: (0.0, 1.0), [N] * 3):
        assert len(outcomes) == N
        assert all(space.contains(outcome.genome) for outcome in outcomes)
