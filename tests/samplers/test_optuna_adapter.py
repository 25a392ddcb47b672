"""Optuna's samplers behind the adapter: the same genomes as without it, no logs, and failures."""

import inspect
import warnings

import optuna
import pytest
from optuna.samplers import (
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import TrialState

from hebbevo.samplers import Outcome
from hebbevo.samplers.optuna_adapter import Gp, Nsga2, Nsga3, OptunaSampler, Qmc, Random, Tpe
from hebbevo.space import ChoiceGene, FloatGene, Genome, IntGene, Space, canonical

OPTUNA = {
    Gp: GPSampler,
    Nsga2: NSGAIISampler,
    Nsga3: NSGAIIISampler,
    Qmc: QMCSampler,
    Random: RandomSampler,
    Tpe: TPESampler,
}
SPACE = Space(
    (
        IntGene("width", 10, 95, step=7, when=(("rule", ("leaky", "deep")),)),
        FloatGene("rate", 1e-4, 1e-1, log=True),
        FloatGene("shift", -2.0, 3.0),
        ChoiceGene("rule", ("plain", "leaky", "deep")),
        IntGene("size", 1, 1000, log=True),
    )
)
SMALL = Space((FloatGene("rate", 1e-4, 1e-1, log=True), FloatGene("shift", -2.0, 3.0)))

every_sampler = pytest.mark.parametrize("kind", OPTUNA, ids=lambda kind: kind.__name__)
every_ga = pytest.mark.parametrize("kind", [Nsga2, Nsga3])


def losses(genome: Genome) -> tuple[float, float]:
    return abs(genome["shift"]) + 100 * genome["rate"], abs(genome["shift"] - 1) - genome["rate"]


def violation(genome: Genome) -> float:
    return max(0.0, genome["shift"] - 0.5)


def states(sampler: OptunaSampler) -> list[TrialState]:
    return [trial.state for trial in sampler.study.trials]


def suggest_space(trial: optuna.Trial) -> Genome:
    """Suggest a genome of `SPACE` with Optuna's own calls."""
    rule = trial.suggest_categorical("rule", ["plain", "leaky", "deep"])
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    shift = trial.suggest_float("shift", -2.0, 3.0)
    size = trial.suggest_int("size", 1, 1000, log=True)
    width = {} if rule == "plain" else {"width": trial.suggest_int("width", 10, 94, step=7)}
    return {"rule": rule, "rate": rate, "shift": shift, "size": size, **width}


def suggest_small(trial: optuna.Trial) -> Genome:
    """Suggest a genome of `SMALL` with Optuna's own calls."""
    return {
        "rate": trial.suggest_float("rate", 1e-4, 1e-1, log=True),
        "shift": trial.suggest_float("shift", -2.0, 3.0),
    }


@pytest.mark.parametrize(
    ("kind", "settings", "options", "n", "generations"),
    [
        (Random, {}, {}, 10, 3),
        (Qmc, {}, {"scramble": True}, 10, 3),
        (Qmc, {"scramble": False, "qmc_type": "halton"}, {"qmc_type": "halton"}, 10, 3),
        (Tpe, {}, {}, 10, 4),
        (Tpe, {"multivariate": True}, {"multivariate": True}, 10, 4),
        (Tpe, {"group": True}, {"multivariate": True, "group": True}, 10, 4),
        (Nsga2, {}, {"population_size": 10}, 10, 4),
        (Nsga2, {"mutation_prob": 0.5}, {"population_size": 10, "mutation_prob": 0.5}, 10, 4),
        (Nsga3, {}, {"population_size": 10}, 10, 4),
        (Gp, {"n_startup_trials": 3}, {"n_startup_trials": 3}, 3, 2),
    ],
)
def test_the_genomes_are_those_that_optuna_suggests(kind, settings, options, n, generations):
    space, suggest = (SMALL, suggest_small) if kind is Gp else (SPACE, suggest_space)
    sampler = kind(space, 5, settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(directions=["minimize"] * 2, sampler=OPTUNA[kind](seed=5, **options))
        seen: list[Genome] = []
        for _ in range(generations):
            asked, trials = sampler.ask(n), []
            for genome in asked:
                while (expected := suggest(trial := study.ask())) in seen:
                    pass  # the algorithms with crossover repeat themselves
                assert genome == expected
                seen.append(genome)
                trials.append(trial)
            for trial, genome in zip(trials, asked, strict=True):
                trial.set_constraint("shift", violation(genome))
                study.tell(trial, losses(genome))
            sampler.tell([Outcome(genome, losses(genome), violation(genome)) for genome in asked])


@every_sampler
def test_settings_have_the_names_and_defaults_of_optuna(kind):
    theirs = inspect.signature(OPTUNA[kind]).parameters
    instead = {"scramble": True, "multivariate": "auto", "mutation_prob": 0.0}
    for name, knob in kind.knobs.items():
        assert knob.default == instead.get(name, theirs[name].default)


@every_sampler
def test_whole_numbers_may_be_written_as_floats(kind):
    numbers = {name: 2.0 for name, knob in kind.knobs.items() if knob.kind is int}
    same = {name: 2 for name in numbers}
    one, other = (kind(SMALL, 0, settings) for settings in (numbers, same))
    for n in (2, 1):
        asked = one.ask(n)
        assert other.ask(n) == asked
        for sampler in (one, other):
            sampler.tell([Outcome(genome, losses(genome)) for genome in asked])


@every_sampler
def test_a_trial_that_failed_was_cut_or_was_turned_down_is_failed_in_optuna(kind):
    space = Space((ChoiceGene("bias", (True, False)),))
    sampler = kind(space, 0, {})
    sampler.tell([Outcome(genome, (0.0, 1.0) if genome["bias"] else None) for genome in sampler.ask(4)[:3]])
    found = states(sampler)
    assert len(found) > 4  # some trials were turned down
    assert set(found) == {TrialState.COMPLETE, TrialState.FAIL}
    completed = [trial for trial in sampler.study.trials if trial.state is TrialState.COMPLETE]
    assert {trial.params["bias"] for trial in completed} == {0}


def bred(sampler: OptunaSampler, generations: int) -> list[tuple[int, int]]:
    """For each generation, how many genomes were trained, and how many of them can be parents."""
    found = []
    for number in range(generations):
        asked = sampler.ask(12)
        sampler.tell([Outcome(genome, (float(genome["a"]), -float(genome["b"]))) for genome in asked])
        parents = sampler.study.sampler.get_population(sampler.study, number)
        reached = [[genome["a"], -genome["b"]] for genome in asked]
        assert all(trial.values in reached for trial in parents)
        found.append((len(asked), len(parents)))
    return found


@every_ga
def test_every_genome_that_was_trained_can_be_a_parent_also_one_in_place_of_a_repeated_one(kind):
    space = Space((IntGene("a", 1, 6), IntGene("b", 1, 12)))  # so small that proposals repeat soon
    assert all(trained == parents for trained, parents in bred(kind(space, 1, {}), 5))
    first = bred(kind(space, 1, {}, version=1), 5)
    assert any(parents < trained for trained, parents in first)


@every_ga
def test_a_generation_with_failures_gives_parents_too(kind):
    sampler = kind(SMALL, 0, {"mutation_prob": 1e-9})
    first = sampler.ask(20)
    alive = [genome for genome in first if genome["shift"] < 1]
    assert 2 < len(alive) < 20
    sampler.tell([Outcome(genome, losses(genome) if genome in alive else None) for genome in first])
    for child in sampler.ask(20):
        assert child["shift"] in {parent["shift"] for parent in alive} or was_enqueued(child, sampler)


def was_enqueued(child: Genome, sampler: OptunaSampler) -> bool:
    """Whether the genome was drawn anywhere and enqueued, after Optuna had suggested only known ones."""
    given = [trial.system_attrs.get("fixed_params") for trial in sampler.study.trials]
    return child in given


@every_sampler
def test_true_and_one_are_two_choices(kind):
    space = Space((ChoiceGene("bias", (True, 1, False, 0)),))
    genomes = kind(space, 0, {}).ask(4)
    assert {canonical(genome) for genome in genomes} == {
        canonical({"bias": choice}) for choice in (True, 1, False, 0)
    }


@every_sampler
def test_optuna_logs_nothing_and_keeps_its_verbosity(kind, caplog):
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    try:
        sampler = kind(SPACE, 0, {})
        for _ in range(2):
            sampler.tell([Outcome(genome, losses(genome)) for genome in sampler.ask(5)])
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(before)
    assert not caplog.records
