"""What every sampler promises. A sampler that is registered in `SAMPLERS` is tested here."""

import copy
import itertools
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import moocore
import numpy as np
import pytest
import torch

from hebbevo.errors import HebbevoError, SpaceError
from hebbevo.samplers import SAMPLERS, Outcome
from hebbevo.samplers.sampler import Sampler
from hebbevo.space import ChoiceGene, FloatGene, Genome, IntGene, Space, canonical, expanded
from hebbevo.space.knobs import Value

pytestmark = pytest.mark.usefixtures("short_search_on_optunas_model")

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
class Case:
    """A sampler, and the size of the searches with which its claims are checked.

    Attributes:
        kind: the class of the sampler.
        n: genomes per generation.
        generations: number of generations.
        seeds: number of searches, where one is not enough.
        settings: those that make a slow sampler faster, or that let a short search use its model.
    """

    kind: type[Sampler]
    n: int = 10
    generations: int = 5
    seeds: int = 2
    settings: Mapping[str, Value] = field(default_factory=dict)

    def new(self, space: Space = MIXED, seed: int = 0, objectives: int = 2, **settings: Value) -> Sampler:
        return self.kind(space, seed, {**self.settings, **settings}, objectives)

    @property
    def full(self) -> list[int]:
        return [self.n] * self.generations

    @property
    def cut_short(self) -> list[int]:
        return [self.n, self.n // 2, self.n, 0, 1, self.n][: max(3, self.generations)]


SLOW = {
    "surrogate": {"generations": 3, "seeds": 1, "settings": {"model_generations": 5}},
    "tpe": {"n": 6, "generations": 3, "seeds": 1, "settings": {"n_startup_trials": 5}},
    "gp": {"n": 2, "generations": 2, "seeds": 1, "settings": {"n_startup_trials": 2}},
}
BLIND = {"latin_hypercube", "qmc", "random"}  # these do not look at losses
CASES = {name: Case(entry.kind, **SLOW.get(name, {})) for name, entry in SAMPLERS.items()}


def with_samplers(names: Sequence[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [CASES[name] for name in names], ids=names)


every_sampler = with_samplers(list(SAMPLERS))
every_learner = with_samplers([name for name in SAMPLERS if name not in BLIND])


def spheres(objectives: int) -> Losses:
    """The squared distances of a genome's floats from points on the diagonal, one point per objective."""

    def losses(genome: Genome) -> tuple[float, ...]:
        x = np.array([value for value in genome.values() if isinstance(value, float)])
        return tuple(float(((x - centre) ** 2).sum()) for centre in np.linspace(0.3, 0.7, objectives))

    return losses


no_failure = spheres(2)


def turned(genome: Genome) -> tuple[float, ...]:
    return no_failure(genome)[::-1]


def some_failures(genome: Genome) -> tuple[float, ...] | None:
    return None if genome["rate"] > 1e-2 else no_failure(genome)


def all_failures(genome: Genome) -> None:
    return None


def no_violation(genome: Genome) -> float:
    return 0.0


def evolve(
    sampler: Sampler,
    losses: Losses,
    sizes: Sequence[int],
    violation: Callable[[Genome], float] = no_violation,
    progress: Sequence[float] = (),
) -> list[list[Outcome]]:
    """Ask for ``sizes[0]`` genomes in every generation, and give the outcomes of ``sizes[t]`` of them."""
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
    """The history as it is read from a file: equal values in other objects."""
    return [
        [
            Outcome(json.loads(json.dumps(o.genome)), o.losses and tuple(o.losses), o.violation)
            for o in outcomes
        ]
        for outcomes in history
    ]


@every_sampler
@pytest.mark.parametrize("losses", [no_failure, some_failures, all_failures])
def test_every_generation_has_the_size_asked_for_and_lies_in_the_space(case, losses):
    for seed in range(case.seeds):
        for outcomes in evolve(case.new(seed=seed), losses, case.full):
            assert len(outcomes) == case.n
            assert all(MIXED.contains(outcome.genome) for outcome in outcomes)


@every_sampler
def test_genomes_with_layers_and_nested_conditions_are_complete_and_every_structure_appears(case):
    def size_and_leak(genome: Genome) -> tuple[float, float]:
        layers = range(1, int(genome["depth"]) + 1)
        size = sum(int(genome[f"width.{layer}"]) for layer in layers)
        return float(size), sum(float(genome.get(f"leak.{layer}", 1.0)) for layer in layers) / size

    history = [
        evolve(case.new(LAYERED, seed), size_and_leak, case.full)
        for seed in range(math.ceil(24 / (case.n * case.generations)))
    ]
    genomes = [genome for outcomes in history for genome in genomes_of(outcomes)]
    assert all(LAYERED.contains(genome) for genome in genomes)
    assert {name for genome in genomes for name in genome} == {gene.name for gene in LAYERED.genes}


@every_sampler
def test_any_number_of_genomes_can_be_asked(case):
    for n in (1, 2, 3, 2 * case.n):
        for outcomes in evolve(case.new(), no_failure, [n] * case.generations):
            assert len(outcomes) == n
            assert all(MIXED.contains(outcome.genome) for outcome in outcomes)


@every_sampler
@pytest.mark.parametrize("objectives", [1, 3])
def test_any_number_of_objectives_is_accepted(case, objectives):
    history = evolve(case.new(objectives=objectives), spheres(objectives), case.full)
    assert all(MIXED.contains(genome) for genome in genomes_of(history))
    again = evolve(case.new(objectives=objectives), spheres(objectives), case.full)
    assert again == history


NICHES = "NSGA-III finds the ends of a front with weights of a million, in the units of the losses"
DEPENDS_ON_UNITS = {
    ("nsga3", 3): f"Optuna's {NICHES}",
    ("ga by niches", 3): f"DEAP's {NICHES}",
}
DEPENDS_ON_UNITS_WITH_VIOLATIONS = {
    ("annealing", objectives): "the penalty of a violation is added to losses before they are scaled"
    for objectives in (1, 2, 3)
}


def with_objectives(exceptions: Mapping[tuple[str, int], str]) -> pytest.MarkDecorator:
    """Every sampler with 1 to 3 losses; an exception must fail, in a search that is long enough for that."""
    by_niches = Case(CASES["ga"].kind, settings={"selection": "nsga3"})
    cases = {(name, objectives): case for name, case in CASES.items() for objectives in (1, 2, 3)}
    parameters = []
    for (name, objectives), case in (cases | {("ga by niches", 3): by_niches}).items():
        reason = exceptions.get((name, objectives))
        parameters.append(
            pytest.param(
                replace(case, n=15, generations=10) if reason else case,
                objectives,
                id=f"{name}-{objectives}",
                marks=[pytest.mark.xfail(strict=True, reason=reason)] if reason else [],
            )
        )
    return pytest.mark.parametrize(("case", "objectives"), parameters)


def genomes_of_rescaled_searches(
    case: Case, objectives: int, violation: Callable[[Genome], float]
) -> list[list[Genome]]:
    """The genomes of a search, and of the same search with one or all of the losses rescaled.

    The factors are powers of two, which change the exponent of a float and nothing else. With one objective
    a factor is the same as one on all weights of a weighted sum.
    """
    losses = spheres(objectives)
    every_loss = np.ones(objectives)
    factors = [every_loss, 2.0**10 * every_loss]
    factors += [2.0 ** (power * loss) for loss, power in zip(np.eye(objectives), (10, -7, 10), strict=False)]

    def rescaled(genome: Genome, factor: np.ndarray) -> tuple[float, ...]:
        return tuple((factor * losses(genome)).tolist())

    return [
        genomes_of(
            evolve(case.new(objectives=objectives), partial(rescaled, factor=factor), case.full, violation)
        )
        for factor in factors
    ]


@with_objectives(DEPENDS_ON_UNITS)
def test_rescaling_a_loss_changes_no_genome(case, objectives):
    first, *others = genomes_of_rescaled_searches(case, objectives, no_violation)
    assert all(genomes == first for genomes in others)


@with_objectives(DEPENDS_ON_UNITS_WITH_VIOLATIONS)
def test_rescaling_a_loss_changes_no_genome_where_constraints_are_violated(case, objectives):
    first, *others = genomes_of_rescaled_searches(case, objectives, lambda genome: genome["shift"] - 0.5)
    assert all(genomes == first for genomes in others)


@every_sampler
def test_genomes_are_plain_data(case):
    for genome in genomes_of(evolve(case.new(), no_failure, case.full)):
        assert {type(value) for value in genome.values()} <= {float, int, str, bool}
        assert json.loads(json.dumps(genome, allow_nan=False)) == genome


@every_sampler
def test_the_seed_decides_the_genomes(case):
    def generations(seed: int) -> list[list[Outcome]]:
        return evolve(case.new(seed=seed), some_failures, case.full)

    first = generations(7)
    assert generations(7) == first
    for one, other in zip(first, generations(8), strict=True):
        assert one != other


@every_sampler
@pytest.mark.parametrize("sizes", ["full", "cut_short"])
def test_a_resumed_sampler_asks_what_the_killed_one_would_have_asked(case, sizes):
    sizes = getattr(case, sizes)
    history = evolve(case.new(seed=3), some_failures, sizes)
    for killed_in in range(len(sizes)):
        resumed = case.new(seed=3)
        for outcomes in recorded(history[:killed_in]):
            assert resumed.ask(case.n)[: len(outcomes)] == [outcome.genome for outcome in outcomes]
            resumed.tell(outcomes)
        assert resumed.generation == killed_in
        asked = resumed.ask(case.n)[: sizes[killed_in]]
        assert asked == [outcome.genome for outcome in history[killed_in]]


@every_sampler
@pytest.mark.parametrize("n", [3, None])
def test_the_trials_that_it_says_it_has_not_chosen_are_the_same_whatever_their_results(case, n):
    sizes = [n or case.n] * 5
    results = [no_failure, turned]
    if case.kind is not SAMPLERS["qmc"].kind:  # until a trial succeeds, Optuna's draws are independent ones
        results.append(all_failures)
    asked = [genomes_of(evolve(case.new(), losses, sizes)) for losses in results]
    differs = [any(one != other for other in others) for one, *others in zip(*asked, strict=True)]
    assert not any(differs[: case.kind.not_chosen(sizes)])
    assert any(differs) == math.isfinite(case.kind.learns_after)


@every_sampler
def test_a_first_generation_is_never_chosen_by_results(case):
    assert case.kind.not_chosen([]) == 0
    assert case.kind.not_chosen([7, 50]) >= 7


def test_the_settings_known_before_an_import_are_those_of_the_class():
    for entry in SAMPLERS.values():
        assert entry.kind.knobs == entry.knobs


def test_another_process_asks_the_same_genomes():
    script = """
import json, sys
from hebbevo.samplers import SAMPLERS, Outcome
from hebbevo.space import Space
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
def test_any_progress_is_accepted_and_replayed(case):
    progress = [0.9, 0.0, 1.0, 0.3, 1.0]
    history = evolve(case.new(), some_failures, case.full, progress=progress)
    assert all(MIXED.contains(genome) for genome in genomes_of(history))
    assert evolve(case.new(), some_failures, case.full, progress=progress) == history


@every_sampler
def test_a_search_goes_on_after_a_first_generation_in_which_everything_failed(case):
    sampler = case.new()
    failed = genomes_of(evolve(sampler, all_failures, [case.n]))
    later = genomes_of(evolve(sampler, no_failure, [case.n] * 2))
    assert not {canonical(genome) for genome in failed} & {canonical(genome) for genome in later}


@every_sampler
def test_while_everything_fails_the_genomes_are_new(case):
    genomes = genomes_of(evolve(case.new(), all_failures, case.full))
    assert len({canonical(genome) for genome in genomes}) == case.n * case.generations


@every_sampler
@pytest.mark.parametrize("place", [0, 1])
def test_a_loss_that_is_not_finite_counts_as_a_failure(case, place):
    bad = itertools.cycle([math.nan, math.inf, -math.inf])

    def broken(genome: Genome) -> tuple[float, ...]:
        return some_failures(genome) or ((next(bad), 0.0) if place == 0 else (0.0, next(bad)))

    broken_genomes, failed_genomes = (
        genomes_of(evolve(case.new(), losses, case.full)) for losses in (broken, some_failures)
    )
    assert broken_genomes == failed_genomes


@every_sampler
def test_equal_losses_everywhere_are_accepted(case):
    history = evolve(case.new(), lambda _: (0.5, 0.5), case.full)
    assert all(MIXED.contains(genome) for genome in genomes_of(history))


@every_sampler
def test_ask_and_tell_out_of_turn_raise_one_line_and_change_nothing(case):
    sampler, n = case.new(), case.n

    def refused(call, what: str) -> None:
        with pytest.raises(HebbevoError, match=rf"^{case.kind.__name__}\.\w+: .*{what}[^\n]*\Z"):
            call()

    refused(lambda: sampler.tell([]), "nothing was asked; call ask first")
    outcomes = [Outcome(genome, no_failure(genome)) for genome in sampler.ask(n)]
    refused(lambda: sampler.ask(n), "generation 0 has no outcomes; call tell first")
    wrong = {
        "other genomes": [Outcome({**outcomes[0].genome, "shift": 0.125}, (0.0, 0.0)), *outcomes[1:]],
        "the wrong order": outcomes[::-1],
        "too many": [*outcomes, outcomes[0]],
        "the end only": outcomes[1:],
    }
    for outcome in wrong.values():
        refused(lambda outcomes=outcome: sampler.tell(outcomes), "not the genomes that were asked, in order")
    sampler.tell(outcomes)  # the refusals left everything as it was
    refused(lambda: sampler.tell(outcomes), "nothing was asked; call ask first")
    straight = case.new()
    evolve(straight, no_failure, [n])
    assert sampler.ask(n) == straight.ask(n)


@every_sampler
def test_the_global_random_numbers_are_neither_used_nor_moved(case):
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
        histories.append(evolve(case.new(), no_failure, case.full))
        if seed == 5:
            assert draw_all() == expected
    assert histories[0] == histories[1]
    assert torch.get_num_threads() == threads


@every_sampler
def test_arguments_are_not_changed_and_changing_them_later_has_no_effect(case):
    settings = {name: knob.default for name, knob in case.kind.knobs.items()} | case.settings
    before = dict(settings)
    sampler, straight = case.kind(MIXED, 0, settings), case.new()
    for _ in range(case.generations - 1):
        asked = sampler.ask(case.n)
        assert asked == straight.ask(case.n)
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
    assert sampler.ask(case.n) == straight.ask(case.n)


@every_sampler
def test_the_genomes_of_a_first_generation_are_distinct(case):
    space = Space(tuple(IntGene(name, 1, 10) for name in "abc"))
    assert len({canonical(genome) for genome in case.new(space).ask(200)}) == 200


@every_sampler
def test_no_genome_is_proposed_twice_while_there_are_others(case):
    total = 2 * case.n * case.generations
    side = math.ceil(math.sqrt(3 * total))
    space = Space(tuple(IntGene(name, 1, side) for name in "ab"))

    def two_corners(genome: Genome) -> tuple[float, ...]:
        return tuple(sum(abs(value - corner) for value in genome.values()) for corner in (1.0, side))

    genomes = genomes_of(evolve(case.new(space), two_corners, 2 * case.full))
    assert len({canonical(genome) for genome in genomes}) == total


@every_learner
@pytest.mark.parametrize("objectives", [1, 2])
def test_it_finds_more_than_random_search(case, objectives):
    losses = spheres(objectives)

    def left(genomes: list[Genome]) -> float:
        """The hypervolume that the genomes lack, of 1."""
        points = np.array([losses(genome) for genome in genomes])
        return 1.0 - (moocore.hypervolume(points, ref=[1.0, 1.0]) if objectives > 1 else 1.0 - points.min())

    searched, drawn = 0.0, 0.0
    for seed in range(case.seeds):
        genomes = genomes_of(evolve(case.new(SPHERE, seed, objectives), losses, 3 * case.full))
        searched += left(genomes)
        points = np.random.default_rng(seed).random((len(genomes), SPHERE.dimension))
        drawn += left([SPHERE.from_unit(point) for point in points])
    assert searched < 0.9 * drawn


@every_learner
def test_constraints_lead_into_the_region_where_they_are_met(case):
    def excess(genome: Genome) -> float:
        return max(0.0, genome["x0"] + genome["x1"] - 0.5)  # the front begins at 0.6

    def feasible(violation: Callable[[Genome], float]) -> float:
        history = evolve(case.new(SPHERE), no_failure, 3 * case.full, violation)
        late = genomes_of(history[len(history) // 2 :])
        return sum(excess(genome) == 0 for genome in late) / len(late)

    assert feasible(excess) > 0.3 > feasible(no_violation)  # at random 0.125


@every_sampler
def test_an_unknown_setting_raises_one_line(case):
    with pytest.raises(SpaceError, match=r"\Asearch\.settings\.wobble: .*no such setting; [^\n]+\Z"):
        case.new(wobble=1.0)


@every_sampler
def test_a_setting_out_of_range_raises_one_line(case):
    for name, knob in case.kind.knobs.items():
        bad = ["nonsense", math.nan]
        bad += [knob.low - 1] if math.isfinite(knob.low) else []
        bad += [knob.high + 1] if math.isfinite(knob.high) else []
        for value in bad:
            with pytest.raises(SpaceError, match=rf"\Asearch\.settings\.{name}: [^\n]+; write [^\n]+\Z"):
                case.new(**{name: value})


LONGEST = {"model_generations": 20}  # more would take too long for a test


@every_sampler
def test_every_setting_works_at_the_ends_of_its_range(case):
    for name, knob in case.kind.knobs.items():
        ends = [min(end, LONGEST.get(name, math.inf)) for end in (knob.low, knob.high)]
        for value, losses in itertools.product(knob.choices or ends, (no_failure, some_failures)):
            history = evolve(case.new(**{name: value}), losses, [case.n] * 2)
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
def test_a_space_with_fewer_genomes_than_a_generation_is_searched(case, space):
    sampler = case.new(space)
    for n in (max(4, case.n), 2):
        genomes = sampler.ask(n)
        assert len(genomes) == n
        assert all(space.contains(genome) for genome in genomes)
        sampler.tell([Outcome(genome, (0.0, 1.0)) for genome in genomes])
