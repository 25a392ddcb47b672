"""Genomes with which a search begins, and genes with steps, zeros and lists, for every sampler."""

import itertools
import json
from collections.abc import Sequence

import numpy as np
import pytest

from hebbevo.errors import SpaceError
from hebbevo.samplers import SAMPLERS, Outcome, Sampler
from hebbevo.samplers.replay import PastGeneration, replay
from hebbevo.space import ChoiceGene, FloatGene, Genome, IntGene, Space, canonical

pytestmark = pytest.mark.usefixtures("short_search_on_optunas_model")

SPACE = Space(
    (
        FloatGene("rate", 1e-4, 1e-1, log=True),
        FloatGene("drop", 0.1, 0.7, step=0.1),
        FloatGene("decay", 1e-5, 1.0, log=True, zero=True),
        ChoiceGene("hidden", ([512, 256], [1024, 512], [64], 32)),
        IntGene("grace", 0, 50, when=(("hidden", ([64], 32)),)),
        FloatGene("gain", 0.0, 1.0, when=(("drop", (0.1, 0.3, 0.4)),)),
    )
)
STARTS: list[Genome] = [
    {"rate": 0.1, "drop": 0.3, "decay": 0.0, "hidden": [512, 256], "gain": 0.1 + 0.2},
    {"rate": 1e-4, "drop": 0.7, "decay": 1.0, "hidden": [64], "grace": 50},
    {"rate": 0.012345678901234567, "drop": 0.5, "decay": 1e-5, "hidden": 32, "grace": 7},
]
QUICK = {"surrogate": {"model_generations": 5}, "tpe": {"n_startup_trials": 4}, "gp": {"n_startup_trials": 5}}
LEARNERS = [name for name in SAMPLERS if name not in ("latin_hypercube", "qmc", "random")]


def new(name: str, start: Sequence[Genome] = (), seed: int = 0) -> Sampler:
    return SAMPLERS[name](SPACE, seed, QUICK.get(name, {}), 2, start)


def losses(genome: Genome) -> tuple[float, float]:
    size = sum(genome["hidden"]) if isinstance(genome["hidden"], list) else genome["hidden"]
    return float(genome["rate"]) + float(genome["decay"]), float(size) * float(genome["drop"])


def run(sampler: Sampler, sizes: Sequence[int], asked: int, loss=losses) -> list[list[Outcome]]:
    """Ask for so many genomes in each generation, and tell the outcomes of ``sizes[t]`` of them."""
    history = []
    for size in sizes:
        outcomes = [Outcome(genome, loss(genome)) for genome in sampler.ask(asked)[:size]]
        sampler.tell(outcomes)
        history.append(outcomes)
    return history


@pytest.mark.parametrize("name", SAMPLERS)
def test_starting_genomes_come_first_in_their_order_and_no_proposal_repeats_them(name) -> None:
    history = run(new(name, STARTS), [6, 6], 6)
    genomes = [outcome.genome for outcomes in history for outcome in outcomes]
    assert genomes[:3] == STARTS
    assert [type(value) for value in genomes[0].values()] == [float, float, float, list, float]
    assert len({canonical(genome) for genome in genomes}) == 12
    assert all(map(SPACE.contains, genomes))


@pytest.mark.parametrize("name", SAMPLERS)
def test_more_starting_genomes_than_a_generation_has_go_on_in_the_next_and_after_a_cut(name) -> None:
    history = run(new(name, STARTS), [2, 2], 2)
    assert [outcome.genome for outcomes in history for outcome in outcomes][:3] == STARTS
    history = run(new(name, STARTS), [1, 6], 6)
    assert [outcome.genome for outcomes in history for outcome in outcomes][:3] == STARTS


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("sizes", [[5, 5, 5], [2, 5, 3]])
def test_a_search_from_starting_genomes_is_replayed_exactly(name, sizes) -> None:
    history = run(new(name, STARTS, seed=4), sizes, 5)
    stored = json.loads(json.dumps([[outcome.genome for outcome in outcomes] for outcomes in history]))
    for killed_in in range(len(sizes)):
        resumed = new(name, json.loads(json.dumps(STARTS)), seed=4)
        past = [
            PastGeneration(0.0, genomes, [Outcome(genome, losses(genome)) for genome in genomes])
            for genomes in stored[:killed_in]
        ]
        replay(resumed, 5, [*past, PastGeneration(0.0, stored[killed_in], None)])


@pytest.mark.parametrize("name", LEARNERS)
def test_what_a_starting_genome_has_reached_is_learnt_from(name) -> None:
    def best(genome: Genome) -> tuple[float, float]:
        return (-1.0, -1.0) if genome == STARTS[0] else losses(genome)

    def worst(genome: Genome) -> tuple[float, float]:
        return (9.0, 9e4) if genome == STARTS[0] else losses(genome)

    sizes = [6, 3] if name == "gp" else [10, 10]
    one, other = (run(new(name, STARTS), sizes, sizes[0], loss) for loss in (best, worst))
    assert [outcome.genome for outcome in one[0]] == [outcome.genome for outcome in other[0]]
    assert [outcome.genome for outcome in one[1]] != [outcome.genome for outcome in other[1]]


@pytest.mark.parametrize("name", SAMPLERS)
def test_without_starting_genomes_nothing_changes_for_the_others(name) -> None:
    plain, started = (run(new(name, start), [6], 6)[0] for start in ((), STARTS[:1]))
    if name not in ("tpe", "gp", "nsga2", "nsga3"):  # these draw another trial in place of the first
        assert [outcome.genome for outcome in plain[1:]] == [outcome.genome for outcome in started[1:]]


def test_a_starting_genome_outside_the_space_is_refused() -> None:
    for wrong in ({**STARTS[0], "drop": 0.35}, {**STARTS[0], "decay": 1e-6}, {"rate": 0.1}):
        with pytest.raises(SpaceError, match=r"search\.start: .* does not lie in the space"):
            new("ga", [wrong])


def test_a_caller_that_changes_a_list_changes_no_genome() -> None:
    start = [dict(STARTS[0], hidden=[512, 256])]
    sampler = new("ga", start)
    start[0]["hidden"].append(1)
    asked = sampler.ask(4)
    genomes = json.loads(json.dumps(asked))
    for genome in asked:
        if isinstance(genome["hidden"], list):
            genome["hidden"].append(3)
    sampler.tell([Outcome(genome, losses(genome)) for genome in genomes])
    assert all(map(SPACE.contains, sampler.ask(4)))


@pytest.mark.parametrize("name", SAMPLERS)
def test_steps_zeros_and_lists_are_proposed_and_are_plain_data(name) -> None:
    n, generations = (8, 2) if name == "gp" else (30, 3)
    history = run(new(name), [n] * generations, n)
    genomes = [outcome.genome for outcomes in history for outcome in outcomes]
    assert all(map(SPACE.contains, genomes))
    assert json.loads(json.dumps(genomes)) == genomes
    assert {genome["drop"] for genome in genomes} <= {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7}
    assert len({genome["drop"] for genome in genomes}) > 2
    assert {genome["decay"] == 0 for genome in genomes} == {True, False}
    assert {type(genome["hidden"]) for genome in genomes} == {list, int}


@pytest.mark.parametrize("name", ["cmaes", "annealing"])
def test_a_search_whose_best_points_share_a_step_or_the_zero_still_leaves_them(name) -> None:
    """The best genomes have the same step and the zero, so that a distribution narrows around them."""
    space = Space(
        (FloatGene("drop", 0.0, 1.0, step=0.25), FloatGene("decay", 1e-3, 1.0, log=True, zero=True))
    )
    sampler = SAMPLERS[name](space, 1, {}, 1)
    genomes = []
    for _ in range(12):
        outcomes = [
            Outcome(genome, (abs(genome["drop"] - 0.5) + genome["decay"],)) for genome in sampler.ask(8)
        ]
        sampler.tell(outcomes)
        genomes.append([outcome.genome for outcome in outcomes])
    late = [genome for genome in itertools.chain(*genomes[6:])]
    assert len({genome["drop"] for genome in late}) > 1
    assert {genome["decay"] == 0 for genome in late} == {True, False}
    assert np.mean([genome["drop"] == 0.5 for genome in late]) > 0.2
