"""Optuna's samplers behind the seam: what it would ask itself, and what it must not notice or show."""

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
from hebbevo.samplers.optuna_adapter import Gp, Nsga2, Nsga3, Qmc, Random, Stock, Tpe
from hebbevo.space.genes import ChoiceGene, FloatGene, Genome, IntGene, Space, canonical

STOCK = {
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

every_stock = pytest.mark.parametrize("kind", STOCK, ids=lambda kind: kind.__name__)
every_ga = pytest.mark.parametrize("kind", [Nsga2, Nsga3])


def losses(genome: Genome) -> tuple[float, float]:
    return abs(genome["shift"]) + 100 * genome["rate"], abs(genome["shift"] - 1) - genome["rate"]


def violation(genome: Genome) -> float:
    return max(0.0, genome["shift"] - 0.5)


def states(sampler: Stock) -> list[TrialState]:
    return [trial.state for trial in sampler._study.trials]


def by_hand(trial: optuna.Trial) -> Genome:
    """`SPACE` as one writes it for Optuna."""
    rule = trial.suggest_categorical("rule", ["plain", "leaky", "deep"])
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    shift = trial.suggest_float("shift", -2.0, 3.0)
    size = trial.suggest_int("size", 1, 1000, log=True)
    width = {} if rule == "plain" else {"width": trial.suggest_int("width", 10, 94, step=7)}
    return {"rule": rule, "rate": rate, "shift": shift, "size": size, **width}


def two_by_hand(trial: optuna.Trial) -> Genome:
    """`SMALL` likewise."""
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
def test_it_asks_what_optuna_asks(kind, settings, options, n, generations):
    space, suggest = (SMALL, two_by_hand) if kind is Gp else (SPACE, by_hand)
    sampler = kind(space, 5, settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(directions=["minimize"] * 2, sampler=STOCK[kind](seed=5, **options))
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


@every_stock
def test_its_settings_have_the_names_and_defaults_of_optuna(kind):
    theirs = inspect.signature(STOCK[kind]).parameters
    instead = {"scramble": True, "multivariate": "auto", "mutation_prob": 0.0}
    for name, knob in kind.knobs.items():
        assert knob.default == instead.get(name, theirs[name].default)


@every_stock
def test_whole_numbers_may_be_written_as_floats(kind):
    numbers = {name: 2.0 for name, knob in kind.knobs.items() if knob.kind is int}
    same = {name: 2 for name in numbers}
    one, other = (kind(SMALL, 0, settings) for settings in (numbers, same))
    for n in (2, 1):
        asked = one.ask(n)
        assert other.ask(n) == asked
        for sampler in (one, other):
            sampler.tell([Outcome(genome, losses(genome)) for genome in asked])


@every_stock
def test_what_failed_was_cut_or_refused_is_a_failure_to_optuna(kind):
    space = Space((ChoiceGene("bias", (True, False)),))
    sampler = kind(space, 0, {})
    sampler.tell([Outcome(genome, (0.0, 1.0) if genome["bias"] else None) for genome in sampler.ask(4)[:3]])
    told = states(sampler)
    assert len(told) > 4  # there were refusals
    assert set(told) == {TrialState.COMPLETE, TrialState.FAIL}
    completed = [trial for trial in sampler._study.trials if trial.state is TrialState.COMPLETE]
    assert {trial.params["bias"] for trial in completed} == {0}


@every_ga
def test_a_generation_with_failures_is_a_generation_all_the_same(kind):
    sampler = kind(SMALL, 0, {"mutation_prob": 1e-9})
    first = sampler.ask(20)
    alive = [genome for genome in first if genome["shift"] < 1]
    assert 2 < len(alive) < 20
    sampler.tell([Outcome(genome, losses(genome) if genome in alive else None) for genome in first])
    for child in sampler.ask(20):
        assert child["shift"] in {parent["shift"] for parent in alive} or _is_drawn_anew(child, sampler)


def _is_drawn_anew(child: Genome, sampler: Stock) -> bool:
    """Whether Optuna was given the genome, after it had only had old ones to offer."""
    given = [trial.system_attrs.get("fixed_params") for trial in sampler._study.trials]
    return child in given


@every_stock
def test_true_and_one_are_two_choices(kind):
    space = Space((ChoiceGene("bias", (True, 1, False, 0)),))
    genomes = kind(space, 0, {}).ask(4)
    assert {canonical(genome) for genome in genomes} == {
        canonical({"bias": choice}) for choice in (True, 1, False, 0)
    }


@every_stock
def test_optuna_stays_silent_and_as_talkative_as_it_was(kind, caplog):
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
