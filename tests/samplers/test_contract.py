"""What every sampler promises; a new one is tested here by being registered."""

import copy
import itertools
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import moocore
import numpy as np
import pytest
import torch
from optuna.samplers import GPSampler

from hebbevo.errors import HebbevoError, SpaceError
from hebbevo.samplers import SAMPLERS, Outcome
from hebbevo.samplers.sampler import Sampler
from hebbevo.space.genes import ChoiceGene, FloatGene, Genome, IntGene, Space, canonical, expanded
from hebbevo.space.knobs import Value

MIXED = Space(
    (
        FloatGene("rate", 1e-4, 1e-1, log=True),
        FloatGene("shift", -2.0, 3.0),
        ChoiceGene("kind", ("plain", "deep", 3, True, 0.5)),
        IntGene("depth", 1, 4, when=(("kind", ("deep",)),)),
        IntGene("width", 8, 4096, log=True),
        IntGene("stride", 10, 95, step=7, when=(("kind", ("deep",)), ("depth", (4,)))),
        ChoiceGene("bias", (True, False), when=(("depth", (4,)),)),
        FloatGene("gain", 0.0, 1.0, when=(("bias", (True,)),)),
    )
)
LAYERED = Space(
    expanded(
        (
            IntGene("depth", 1, 3),
            IntGene("width", 4, 64, log=True),
            ChoiceGene("rule", ("plain", "leaky")),
            FloatGene("leak", 0.0, 1.0, when=(("rule", ("leaky",)),)),
        ),
        {"width": "depth", "rule": "depth", "leak": "depth"},
    )
)
SPHERE = Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(4)))

Losses = Callable[[Genome], tuple[float, ...] | None]


@dataclass(frozen=True)
class Tried:
    """A sampler, and how much of every claim is tried with it.

    Attributes:
        n: genomes of a generation.
        settings: what makes a slow sampler quicker, or brings its model into a short search.
    """

    kind: type[Sampler]
    n: int = 10
    generations: int = 5
    seeds: int = 2
    settings: Mapping[str, Value] = field(default_factory=dict)

    def new(self, space: Space = MIXED, seed: int = 0, objectives: int = 2, **settings: Value) -> Sampler:
        return self.kind(space, seed, {**self.settings, **settings}, objectives)

    @property
    def whole(self) -> list[int]:
        return [self.n] * self.generations

    @property
    def cut_short(self) -> list[int]:
        return [self.n, self.n // 2, self.n, 0, 1, self.n][: max(3, self.generations)]


SLOW = {
    "surrogate": {"generations": 3, "seeds": 1, "settings": {"model_generations": 5}},
    "tpe": {"n": 6, "generations": 3, "seeds": 1, "settings": {"n_startup_trials": 5}},
    "gp": {"n": 2, "generations": 2, "seeds": 1, "settings": {"n_startup_trials": 2}},
}
BLIND = {"qmc", "random"}  # these do not look at losses


def tried(names: Sequence[str]) -> pytest.MarkDecorator:
    cases = [Tried(SAMPLERS[name].kind, **SLOW.get(name, {})) for name in names]
    return pytest.mark.parametrize("tried", cases, ids=names)


every_sampler = tried(list(SAMPLERS))
every_learner = tried([name for name in SAMPLERS if name not in BLIND])


@pytest.fixture(autouse=True)
def few_looks_at_the_promises_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search on Optuna's model takes a second; no claim is about how thorough it is."""

    def best_of_64(self, model, _):
        points = model.search_space.sample_normalized_params(64, self._rng.rng)
        return points[model.eval_acqf_no_grad(points).argmax()]

    monkeypatch.setattr(GPSampler, "_optimize_acqf", best_of_64)


def spheres(objectives: int) -> Losses:
    """The squared distances from points on the diagonal, of what is real in a genome."""

    def losses(genome: Genome) -> tuple[float, ...]:
        x = np.array([value for value in genome.values() if isinstance(value, float)])
        return tuple(float(((x - centre) ** 2).sum()) for centre in np.linspace(0.3, 0.7, objectives))

    return losses


no_failure = spheres(2)


def some_failures(genome: Genome) -> tuple[float, ...] | None:
    return None if genome["rate"] > 1e-2 else no_failure(genome)


def all_failures(genome: Genome) -> None:
    return None


def met(genome: Genome) -> float:
    return 0.0


def evolve(
    sampler: Sampler,
    losses: Losses,
    sizes: Sequence[int],
    violation: Callable[[Genome], float] = met,
    progress: Sequence[float] = (),
) -> list[list[Outcome]]:
    """Ask for the first size each time, and tell as many of the genomes as the size says."""
    history = []
    for size, spent in itertools.zip_longest(sizes, progress[: len(sizes)], fillvalue=0.0):
        genomes = sampler.ask(sizes[0], spent)[: int(size)]
        outcomes = [Outcome(genome, losses(genome), violation(genome)) for genome in genomes]
        sampler.tell(outcomes)
        history.append(outcomes)
    return history


def genomes_of(history: Sequence[Sequence[Outcome]]) -> list[Genome]:
    return [outcome.genome for outcomes in history for outcome in outcomes]


def recorded(history: list[list[Outcome]]) -> list[list[Outcome]]:
    """The history as a file gives it back: equal values in other objects."""
    return [
        [
            Outcome(json.loads(json.dumps(o.genome)), o.losses and tuple(o.losses), o.violation)
            for o in outcomes
        ]
        for outcomes in history
    ]


@every_sampler
@pytest.mark.parametrize("losses", [no_failure, some_failures, all_failures])
def test_every_generation_has_the_size_asked_for_and_lies_in_the_space(tried, losses):
    for seed in range(tried.seeds):
        for outcomes in evolve(tried.new(seed=seed), losses, tried.whole):
            assert len(outcomes) == tried.n
            assert all(MIXED.contains(outcome.genome) for outcome in outcomes)


@every_sampler
def test_genomes_with_layers_and_nested_conditions_are_whole_and_of_every_structure(tried):
    def size_and_leak(genome: Genome) -> tuple[float, float]:
        layers = range(1, int(genome["depth"]) + 1)
        size = sum(int(genome[f"width.{layer}"]) for layer in layers)
        return float(size), sum(float(genome.get(f"leak.{layer}", 1.0)) for layer in layers) / size

    history = [
        evolve(tried.new(LAYERED, seed), size_and_leak, tried.whole)
        for seed in range(math.ceil(24 / (tried.n * tried.generations)))
    ]
    genomes = [genome for outcomes in history for genome in genomes_of(outcomes)]
    assert all(LAYERED.contains(genome) for genome in genomes)
    assert {name for genome in genomes for name in genome} == {gene.name for gene in LAYERED.genes}


@every_sampler
def test_any_number_can_be_asked(tried):
    for n in (1, 2, 3, 2 * tried.n):
        for outcomes in evolve(tried.new(), no_failure, [n] * tried.generations):
            assert len(outcomes) == n
            assert all(MIXED.contains(outcome.genome) for outcome in outcomes)


@every_sampler
@pytest.mark.parametrize("objectives", [1, 3])
def test_any_number_of_objectives_can_be_told(tried, objectives):
    history = evolve(tried.new(objectives=objectives), spheres(objectives), tried.whole)
    assert all(MIXED.contains(genome) for genome in genomes_of(history))
    again = evolve(tried.new(objectives=objectives), spheres(objectives), tried.whole)
    assert again == history


@every_sampler
def test_genomes_are_plain_data(tried):
    for genome in genomes_of(evolve(tried.new(), no_failure, tried.whole)):
        assert {type(value) for value in genome.values()} <= {float, int, str, bool}
        assert json.loads(json.dumps(genome, allow_nan=False)) == genome


@every_sampler
def test_the_seed_decides_the_genomes(tried):
    def generations(seed: int) -> list[list[Outcome]]:
        return evolve(tried.new(seed=seed), some_failures, tried.whole)

    first = generations(7)
    assert generations(7) == first
    for one, other in zip(first, generations(8), strict=True):
        assert one != other


@every_sampler
@pytest.mark.parametrize("sizes", ["whole", "cut_short"])
def test_a_sampler_that_was_killed_and_told_the_record_asks_what_it_would_have(tried, sizes):
    sizes = getattr(tried, sizes)
    history = evolve(tried.new(seed=3), some_failures, sizes)
    for killed_in in range(len(sizes)):
        resumed = tried.new(seed=3)
        for outcomes in recorded(history[:killed_in]):
            assert resumed.ask(tried.n)[: len(outcomes)] == [outcome.genome for outcome in outcomes]
            resumed.tell(outcomes)
        assert resumed.generation == killed_in
        asked = resumed.ask(tried.n)[: sizes[killed_in]]
        assert asked == [outcome.genome for outcome in history[killed_in]]


def test_what_is_known_of_a_sampler_before_it_is_imported_is_what_it_says_itself():
    for entry in SAMPLERS.values():
        assert entry.kind.knobs == entry.knobs


def test_another_process_asks_the_same():
    script = """
import json, sys
from hebbevo.samplers import SAMPLERS, Outcome
from hebbevo.space.genes import Space
given = json.load(sys.stdin)
space = Space.from_json(given["space"])
for name, kind in SAMPLERS.items():
    sampler = kind(space, 0, given["settings"].get(name, {}))
    for n in given["sizes"][name]:
        genomes = sampler.ask(n)
        print(name, json.dumps(genomes))
        sampler.tell([Outcome(genome, (genome["rate"], -genome["rate"])) for genome in genomes])
"""
    space = Space(
        (
            FloatGene("rate", 1e-4, 1e-1, log=True),
            ChoiceGene("kind", ("plain", "deep", 3)),
            FloatGene("gain", 0.0, 1.0, when=(("kind", ("deep",)),)),
            FloatGene("shift", -2.0, 3.0),
        )
    )
    given = {
        "space": space.to_json(),
        "sizes": {name: [(n := SLOW.get(name, {}).get("n", 10)), n // 2] for name in SAMPLERS},
        "settings": {name: cases["settings"] for name, cases in SLOW.items()},
    }

    def started(hash_seed: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            text=True,
        )

    processes = [started("1"), started("2")]
    one, other = (process.communicate(json.dumps(given))[0] for process in processes)
    assert len(one.splitlines()) == 2 * len(SAMPLERS)
    assert one == other


@every_sampler
def test_the_progress_may_be_anything_and_is_replayed(tried):
    progress = [0.9, 0.0, 1.0, 0.3, 1.0]
    history = evolve(tried.new(), some_failures, tried.whole, progress=progress)
    assert all(MIXED.contains(genome) for genome in genomes_of(history))
    assert evolve(tried.new(), some_failures, tried.whole, progress=progress) == history


@every_sampler
def test_a_search_goes_on_after_a_first_generation_in_which_everything_failed(tried):
    sampler = tried.new()
    failed = genomes_of(evolve(sampler, all_failures, [tried.n]))
    later = genomes_of(evolve(sampler, no_failure, [tried.n] * 2))
    assert not {canonical(genome) for genome in failed} & {canonical(genome) for genome in later}


@every_sampler
def test_failure_after_failure_is_met_with_new_genomes(tried):
    genomes = genomes_of(evolve(tried.new(), all_failures, tried.whole))
    assert len({canonical(genome) for genome in genomes}) == tried.n * tried.generations


@every_sampler
@pytest.mark.parametrize("place", [0, 1])
def test_a_loss_that_is_no_finite_number_is_a_failure(tried, place):
    bad = itertools.cycle([math.nan, math.inf, -math.inf])

    def broken(genome: Genome) -> tuple[float, ...]:
        return some_failures(genome) or ((next(bad), 0.0) if place == 0 else (0.0, next(bad)))

    broken_genomes, failed_genomes = (
        genomes_of(evolve(tried.new(), losses, tried.whole)) for losses in (broken, some_failures)
    )
    assert broken_genomes == failed_genomes


@every_sampler
def test_equal_losses_everywhere_do_no_harm(tried):
    history = evolve(tried.new(), lambda _: (0.5, 0.5), tried.whole)
    assert all(MIXED.contains(genome) for genome in genomes_of(history))


@every_sampler
def test_asking_and_telling_out_of_turn_is_one_line(tried):
    sampler, n = tried.new(), tried.n

    def refused(call, what: str) -> None:
        with pytest.raises(HebbevoError, match=rf"^{tried.kind.__name__}\.\w+: .*{what}[^\n]*\Z"):
            call()

    refused(lambda: sampler.tell([]), "nothing was asked; call ask first")
    outcomes = [Outcome(genome, no_failure(genome)) for genome in sampler.ask(n)]
    refused(lambda: sampler.ask(n), "generation 0 was not told yet")
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
    straight = tried.new()
    evolve(straight, no_failure, [n])
    assert sampler.ask(n) == straight.ask(n)


@every_sampler
def test_the_global_random_numbers_are_neither_used_nor_moved(tried):
    def seed_all(seed: int) -> None:
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    def draw_all() -> tuple[float, float, float]:
        return random.random(), np.random.random(), torch.rand(()).item()

    seed_all(5)
    expected = draw_all()
    threads = torch.get_num_threads()
    histories = []
    for seed in (5, 6):
        seed_all(seed)
        histories.append(evolve(tried.new(), no_failure, tried.whole))
        if seed == 5:
            assert draw_all() == expected
    assert histories[0] == histories[1]
    assert torch.get_num_threads() == threads


@every_sampler
def test_what_is_given_stays_as_it_was_and_what_is_changed_later_does_no_harm(tried):
    settings = {name: knob.default for name, knob in tried.kind.knobs.items()} | tried.settings
    before = dict(settings)
    sampler, straight = tried.kind(MIXED, 0, settings), tried.new()
    for _ in range(tried.generations - 1):
        asked = sampler.ask(tried.n)
        assert asked == straight.ask(tried.n)
        outcomes = [Outcome(genome, no_failure(genome)) for genome in asked]
        copies = copy.deepcopy(outcomes)
        sampler.tell(outcomes)
        straight.tell(copies)
        assert outcomes == copies
        for genome in asked:
            genome.clear()
        outcomes.clear()
    assert settings == before
    settings.clear()
    assert sampler.ask(tried.n) == straight.ask(tried.n)


@every_sampler
def test_no_genome_of_a_first_generation_is_there_twice(tried):
    space = Space(tuple(IntGene(name, 1, 10) for name in "abc"))
    assert len({canonical(genome) for genome in tried.new(space).ask(200)}) == 200


@every_sampler
def test_no_genome_is_proposed_twice_while_there_are_others(tried):
    total = 2 * tried.n * tried.generations
    side = math.ceil(math.sqrt(3 * total))
    space = Space(tuple(IntGene(name, 1, side) for name in "ab"))

    def two_corners(genome: Genome) -> tuple[float, ...]:
        return tuple(sum(abs(value - corner) for value in genome.values()) for corner in (1.0, side))

    genomes = genomes_of(evolve(tried.new(space), two_corners, 2 * tried.whole))
    assert len({canonical(genome) for genome in genomes}) == total


@every_learner
@pytest.mark.parametrize("objectives", [1, 2])
def test_it_finds_more_than_random_search(tried, objectives):
    losses = spheres(objectives)

    def left(genomes: list[Genome]) -> float:
        """The hypervolume that is still missing."""
        points = np.array([losses(genome) for genome in genomes])
        return 1.0 - (moocore.hypervolume(points, ref=[1.0, 1.0]) if objectives > 1 else 1.0 - points.min())

    searched, drawn = 0.0, 0.0
    for seed in range(tried.seeds):
        genomes = genomes_of(evolve(tried.new(SPHERE, seed, objectives), losses, 3 * tried.whole))
        searched += left(genomes)
        points = np.random.default_rng(seed).random((len(genomes), SPHERE.dimension))
        drawn += left([SPHERE.from_unit(point) for point in points])
    assert searched < 0.9 * drawn


@every_learner
def test_constraints_lead_into_the_region_where_they_are_met(tried):
    def excess(genome: Genome) -> float:
        return max(0.0, genome["x0"] + genome["x1"] - 0.5)  # the front begins at 0.6

    def feasible(violation: Callable[[Genome], float]) -> float:
        history = evolve(tried.new(SPHERE), no_failure, 3 * tried.whole, violation)
        late = genomes_of(history[len(history) // 2 :])
        return sum(excess(genome) == 0 for genome in late) / len(late)

    assert feasible(excess) > 0.3 > feasible(met)  # at random 0.125


@every_sampler
def test_an_unknown_setting_is_one_line(tried):
    with pytest.raises(SpaceError, match=r"\Asearch\.settings\.wobble: .*no such setting; [^\n]+\Z"):
        tried.new(wobble=1.0)


@every_sampler
def test_a_setting_that_is_out_of_range_is_one_line(tried):
    for name, knob in tried.kind.knobs.items():
        bad = ["nonsense", math.nan]
        bad += [knob.low - 1] if math.isfinite(knob.low) else []
        bad += [knob.high + 1] if math.isfinite(knob.high) else []
        for value in bad:
            with pytest.raises(SpaceError, match=rf"\Asearch\.settings\.{name}: [^\n]+; write [^\n]+\Z"):
                tried.new(**{name: value})


LONGEST = {"model_generations": 20}  # no test can wait for more


@every_sampler
def test_every_setting_works_at_the_ends_of_its_range(tried):
    for name, knob in tried.kind.knobs.items():
        ends = [min(end, LONGEST.get(name, math.inf)) for end in (knob.low, knob.high)]
        for value in knob.choices or ends:
            history = evolve(tried.new(**{name: value}), no_failure, [tried.n] * 2)
            assert all(MIXED.contains(genome) for genome in genomes_of(history))


@every_sampler
@pytest.mark.parametrize(
    "space",
    [
        Space((ChoiceGene("only", ("one",)),)),
        Space((ChoiceGene("bias", (True, False)),)),
        Space((IntGene("depth", 1, 2), ChoiceGene("kind", ("a", "b"), when=(("depth", (2,)),)))),
    ],
    ids=["one genome", "two genomes", "three genomes"],
)
def test_a_space_with_fewer_genomes_than_a_generation_is_searched_all_the_same(tried, space):
    sampler = tried.new(space)
    for n in (max(4, tried.n), 2):
        genomes = sampler.ask(n)
        assert len(genomes) == n
        assert all(space.contains(genome) for genome in genomes)
        sampler.tell([Outcome(genome, (0.0, 1.0)) for genome in genomes])
