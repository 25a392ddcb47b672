"""The surrogate sampler: what it learns from, and what it proposes."""

import itertools

import moocore
import numpy as np
import pytest

from hebbevo.samplers import SAMPLERS, VERSION, Outcome, nsga2, surrogate
from hebbevo.samplers.regressor_chain import RegressorChain
from hebbevo.samplers.surrogate import Surrogate, without_duplicates
from hebbevo.space import ChoiceGene, Space
from tests.samplers.conftest import cube

CUBE = cube(12)


def zdt1(genome):
    x = np.array(list(genome.values()))
    g = 1 + 9 * x[1:].mean()
    return float(x[0]), float(g * (1 - np.sqrt(x[0] / g)))


def found(sampler, generations, losses=zdt1, violation=lambda genome: 0.0):
    history = []
    for _ in range(generations):
        outcomes = [Outcome(g, losses(g), violation(g)) for g in sampler.ask(20)]
        sampler.tell(outcomes)
        history += outcomes
    return history


@pytest.mark.parametrize("seed", range(2))
def test_it_finds_in_half_the_trials_more_than_the_genetic_algorithm_in_all(seed):
    def volume(outcomes):
        return moocore.hypervolume(np.array([outcome.losses for outcome in outcomes]), ref=[1.1, 6.0])

    ours = found(Surrogate(CUBE, seed, {"model_generations": 30}), 6)
    theirs = found(SAMPLERS["ga"](CUBE, seed, {}), 12)
    assert volume(ours) > volume(theirs)


def test_of_duplicates_the_first_stays():
    points = np.random.default_rng(0).integers(3, size=(40, 3)) / 2.0
    losses = np.arange(40.0)[:, None]
    kept, rows = np.unique(points, axis=0, return_index=True)
    others, left = without_duplicates(points, losses)
    assert others.tolist() == kept.tolist()
    assert left[:, 0].tolist() == rows.tolist()


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("objectives", [1, 2])
def test_as_many_points_of_the_model_are_chosen_as_asked(n, objectives):
    sampler = Surrogate(CUBE, 0, {"model_generations": 1}, objectives)
    found(sampler, 2, lambda genome: zdt1(genome)[:objectives])
    points = sampler.best_on_model(n, np.random.default_rng(0))
    assert len(points) == n
    assert all(point.shape == (12,) for point in points)


def test_the_model_is_searched_for_expected_losses_and_then_for_the_confidence_bound(monkeypatch):
    optimisms = []

    def predict(self, points, optimism):
        optimisms.append(optimism)
        return plain_predict(self, points, optimism)

    sampler = Surrogate(CUBE, 0, {"model_generations": 2, "optimism": 2.5})
    found(sampler, 1)
    plain_predict = RegressorChain.predict
    monkeypatch.setattr(RegressorChain, "predict", predict)
    sampler.ask(20)
    # first the outcomes, then each search: its first points and the children of two generations
    assert optimisms == [0.0] + 3 * [0.0] + 3 * [2.5]


def test_a_search_of_an_earlier_version_keeps_its_generations_on_the_model_and_the_tolerance_of_its_fits():
    def second_generation(settings, version):
        sampler = Surrogate(CUBE, 0, settings, version=version)
        found(sampler, 1)
        return sampler.ask(20)

    settings = {
        2: {"model_generations": 60, "fit_tolerance": 1e-4},
        3: {"model_generations": 20, "fit_tolerance": 1e-4},
        VERSION: {"model_generations": 20, "fit_tolerance": 1e-2},
    }
    by_default = [second_generation({}, version) for version in settings]
    assert by_default == [second_generation(given, VERSION) for given in settings.values()]
    assert by_default == [second_generation(given, 2) for given in settings.values()]
    assert all(one != other for one, other in itertools.combinations(by_default, 2))


@pytest.mark.parametrize(("outcomes", "modelled"), [(9, False), (10, True)])
def test_the_model_is_used_from_ten_outcomes(outcomes, modelled, monkeypatch):
    sampler = Surrogate(CUBE, 0, {"model_generations": 1})
    genomes = sampler.ask(20)
    sampler.tell([Outcome(g, zdt1(g) if row < outcomes else None) for row, g in enumerate(genomes)])
    calls = []
    monkeypatch.setattr(sampler, "best_on_model", lambda n, rng: calls.append(n) or [])
    assert len(sampler.ask(20)) == 20
    assert bool(calls) == modelled


def test_the_children_of_the_50_best_outcomes_and_those_on_the_model_have_no_blended_choices(monkeypatch):
    space = Space((*CUBE.genes[:2], ChoiceGene("kind", ("a", "b", "c"))))
    seen = []

    def vary(parents, n, is_choice, rng):
        seen.append((is_choice.tolist(), len(parents), n))
        return nsga2.vary(parents, n, is_choice, rng)

    monkeypatch.setattr(surrogate, "vary", vary)
    sampler = Surrogate(space, 0, {"model_generations": 2})
    found(sampler, 4, lambda genome: (genome["x0"], genome["x1"]))
    assert all(is_choice == [False, False, True] for is_choice, _, _ in seen)
    assert {n for _, _, n in seen} == {
        1,
        100,
    }  # of the best outcomes, and on the model
    assert seen[-1][1:] == (50, 1)


def test_a_tenth_of_a_generation_does_not_come_from_the_model(monkeypatch):
    sampler = Surrogate(CUBE, 0, {"model_generations": 1})
    found(sampler, 1)
    nowhere = np.full(12, 0.123456)
    monkeypatch.setattr(sampler, "best_on_model", lambda n, rng: [nowhere + row / 1e6 for row in range(n)])
    asked = np.array([list(genome.values()) for genome in sampler.ask(20)])
    assert (np.abs(asked - nowhere).max(axis=1) < 1e-4).sum() == 18


def test_the_outcomes_learned_from_are_bounded_and_hold_the_front():
    sampler = Surrogate(CUBE, 0, {"model_generations": 1})
    outcomes = found(sampler, 25)
    assert len(outcomes) == 500
    assert len(sampler.outcomes) <= 300
    losses = np.array([outcome.losses for outcome in outcomes])
    kept = {outcome.losses for outcome in sampler.outcomes}
    assert {tuple(row) for row in losses[moocore.is_nondominated(losses)].tolist()} <= kept
    assert sampler.outcomes[-150:] == outcomes[-150:]


def test_up_to_300_outcomes_all_are_learned_from_and_of_more_the_150_best_and_latest():
    sampler = Surrogate(CUBE, 0, {"model_generations": 1}, 1)
    rng = np.random.default_rng(0)
    outcomes = found(sampler, 15, lambda _: (float(rng.random()),))
    assert sampler.outcomes == outcomes
    outcomes += found(sampler, 10, lambda _: (float(rng.random()),))
    best = sorted(outcomes, key=lambda outcome: outcome.losses)[:150]
    latest = outcomes[-150:]
    assert all(outcome in sampler.outcomes for outcome in [*best, *latest])


def test_a_constraint_is_learned():
    def violation(genome):
        return genome["x0"] - 0.3

    outcomes = found(Surrogate(CUBE, 0, {"model_generations": 20}), 5, violation=violation)
    late = [outcome.violation <= 0 for outcome in outcomes[40:]]
    early = [outcome.violation <= 0 for outcome in outcomes[:20]]
    assert np.mean(late) > 0.8 > np.mean(early)


def test_while_all_violate_a_constraint_it_searches_for_the_least_violation():
    def violation(genome):
        return 5.0 + sum(abs(value - 0.7) for value in genome.values())

    outcomes = found(Surrogate(CUBE, 0, {"model_generations": 20}), 4, violation=violation)
    early, late = ([outcome.violation for outcome in part] for part in (outcomes[:20], outcomes[-20:]))
    assert np.median(late) < min(early)
