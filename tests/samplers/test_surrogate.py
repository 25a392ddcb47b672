"""The surrogate-assisted sampler: what its model sees, and what it draws from it."""

import moocore
import numpy as np
import pytest
from scipy.stats import spearmanr, yeojohnson, yeojohnson_normmax

from hebbevo.samplers import SAMPLERS, Outcome
from hebbevo.samplers.gaussian import GaussianProcess
from hebbevo.samplers.surrogate import (
    Surrogate,
    _bent,
    _Loss,
    _straightening,
    _without_twins,
    most_hypervolume,
)
from hebbevo.space.genes import ChoiceGene, FloatGene, Space

CUBE = Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(12)))


def zdt1(genome):
    x = np.array(list(genome.values()))
    g = 1 + 9 * x[1:].mean()
    return float(x[0]), float(g * (1 - np.sqrt(x[0] / g)))


def found(sampler, generations, losses=zdt1, violation=lambda genome: 0.0):
    told = []
    for _ in range(generations):
        outcomes = [Outcome(g, losses(g), violation(g)) for g in sampler.ask(20)]
        sampler.tell(outcomes)
        told += outcomes
    return told


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("objectives", [2, 3])
def test_the_draw_adds_most_hypervolume_step_by_step(seed, objectives):
    rng = np.random.default_rng(seed)
    losses, front, reference = rng.random((30, objectives)), rng.random((4, objectives)), np.ones(objectives)
    chosen = most_hypervolume(losses, front, reference, 10)
    known = front
    for row in chosen:
        volumes = [moocore.hypervolume(np.vstack([known, one]), ref=reference) for one in losses]
        assert volumes[row] == pytest.approx(max(volumes), abs=1e-12)
        known = np.vstack([known, losses[row]])


def test_what_adds_nothing_is_not_drawn():
    front = np.array([[0.2, 0.2]])
    assert most_hypervolume(np.array([[0.3, 0.3], [0.2, 0.2], [0.1, 0.5]]), front, np.ones(2), 3) == [2]


def test_with_one_objective_only_the_best_adds():
    assert most_hypervolume(np.array([[0.5], [0.1], [0.3]]), np.array([[0.4]]), np.array([1.0]), 3) == [1]


@pytest.mark.parametrize("seed", range(2))
def test_it_finds_in_half_the_trials_more_than_the_genetic_algorithm_in_all(seed):
    def volume(outcomes):
        return moocore.hypervolume(np.array([outcome.losses for outcome in outcomes]), ref=[1.1, 6.0])

    ours = found(Surrogate(CUBE, seed, {"model_generations": 30}), 6)
    theirs = found(SAMPLERS["ga"](CUBE, seed, {}), 12)
    assert volume(ours) > volume(theirs)


@pytest.mark.parametrize("bend", [np.exp, lambda t: t, lambda t: -np.exp(-t)])
def test_a_loss_is_bent_and_straightened_again(bend):
    normal = np.random.default_rng(0).normal(size=200)
    losses, loss = bend(normal), _Loss(np.arange(1))
    bent = loss.fit(np.linspace(0, 1, 200)[:, None], losses)
    assert (bent.min(), bent.max()) == pytest.approx((0.0, 1.0))
    assert loss.as_loss(bent) == pytest.approx(losses, abs=1e-3 * losses.std())
    assert np.corrcoef(bent, normal)[0, 1] > 0.98  # what was bent from a normal distribution is normal again


@pytest.mark.parametrize("power", [-4.0, 0.0, 0.3, 1.0, 2.0, 6.0])
def test_the_bending_is_that_of_scipy(power):
    values = np.random.default_rng(0).normal(size=50)
    assert _bent(values, power) == pytest.approx(yeojohnson(values, power), rel=1e-12)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_power_is_the_likeliest(sign):
    values = sign * np.random.default_rng(0).gamma(0.8, size=200)
    standard = (values - values.mean()) / values.std()
    assert _straightening(standard) == pytest.approx(yeojohnson_normmax(standard), abs=1e-4)


def test_losses_that_hardly_differ_are_straightened():
    assert np.isfinite(_straightening(np.array([0.0, 0.0, 1e-200])))


def test_of_twins_the_first_stays():
    points = np.random.default_rng(0).integers(3, size=(40, 3)) / 2.0
    losses = np.arange(40.0)[:, None]
    kept, rows = np.unique(points, axis=0, return_index=True)
    others, left = _without_twins(points, losses)
    assert others.tolist() == kept.tolist()
    assert left[:, 0].tolist() == rows.tolist()


def test_what_is_bent_is_told_apart_in_a_corner_of_the_range():
    rng = np.random.default_rng(1)

    def neurons(x):
        return 256 * x[:, 0] ** 6 * (1 + x[:, 1])

    x = rng.random((60, 2))
    loss, straight = _Loss(np.arange(2)), GaussianProcess(np.arange(2))
    noisy = neurons(x) * np.exp(0.2 * rng.normal(size=60))
    loss.fit(x, noisy)
    straight.fit(x, noisy)
    new = np.column_stack([np.linspace(0.1, 0.6, 200), rng.random(200)])  # a tenth of the neurons and fewer
    bent = spearmanr(loss.predict(new, 0.0)[0], neurons(new)).statistic
    assert bent > 0.9
    assert bent > spearmanr(straight.predict(new, 0.0)[0], neurons(new)).statistic + 0.1


def test_what_the_last_loss_explains_does_not_hide_the_genome():
    space = Space((FloatGene("width", 0.0, 1.0), FloatGene("rate", 0.0, 1.0)))
    sampler, rng = Surrogate(space, 0, {}), np.random.default_rng(0)

    def losses(genome):
        survivors = 50 + 100 * genome["width"] + 30 * rng.normal()
        return -0.01 * survivors + 0.1 * genome["rate"], survivors

    sampler.tell([Outcome(genome, losses(genome)) for genome in sampler.ask(60)])
    sampler._learn()
    rates = np.linspace(0, 1, 11)
    predicted = sampler._predict(np.column_stack([np.full(11, 0.5), rates]), 0.0)
    error = sampler._as_losses(predicted)[:, 0]
    assert error[-1] - error[0] == pytest.approx(0.1, abs=0.03)  # a third of what chance makes of survivors


def test_equal_losses_are_predicted_as_they_are():
    loss = _Loss(np.arange(2))
    x = np.random.default_rng(2).random((12, 2))
    loss.fit(x, np.full(12, 7.0))
    assert loss.as_loss(loss.predict(1 - x, 1.0)[1]) == pytest.approx(7.0)


def test_a_tenth_of_a_generation_owes_nothing_to_the_model(monkeypatch):
    sampler = Surrogate(CUBE, 0, {"model_generations": 1})
    found(sampler, 1)
    nowhere = np.full(12, 0.123456)
    monkeypatch.setattr(sampler, "_promising", lambda n, rng: [nowhere + row / 1e6 for row in range(n)])
    asked = np.array([list(genome.values()) for genome in sampler.ask(20)])
    assert (np.abs(asked - nowhere).max(axis=1) < 1e-4).sum() == 18


def test_choices_are_one_apart_and_inactive_genes_nowhere():
    space = Space(
        (
            ChoiceGene("kind", ("a", "b", "c")),
            FloatGene("gain", 0.0, 1.0, when=(("kind", ("b",)),)),
        )
    )
    sampler = Surrogate(space, 0, {})
    genomes = [{"kind": "a"}, {"kind": "c"}, {"kind": "b", "gain": 0.25}, {"kind": "b", "gain": 0.75}]
    x = sampler._columns(np.array([space.to_unit(genome) for genome in genomes]))
    distances = np.linalg.norm(x[:, None] - x, axis=2)
    assert distances[0, 1] == pytest.approx(1.0)
    assert distances[2, 3] == pytest.approx(0.5)
    points = np.array([[0.1, 0.0], [0.1, 1.0]])  # kind a: the other axis means nothing
    assert len(np.unique(space.settled(points), axis=0)) == 1


def test_what_it_learns_from_is_bounded_and_holds_the_front():
    sampler = Surrogate(CUBE, 0, {"model_generations": 1})
    told = found(sampler, 25)
    assert len(told) == 500
    assert len(sampler._outcomes) <= 300
    losses = np.array([outcome.losses for outcome in told])
    kept = {outcome.losses for outcome in sampler._outcomes}
    assert {tuple(row) for row in losses[moocore.is_nondominated(losses)].tolist()} <= kept


def test_a_constraint_is_learned():
    def violation(genome):
        return genome["x0"] - 0.3

    told = found(Surrogate(CUBE, 0, {"model_generations": 20}), 5, violation=violation)
    late = [outcome.violation <= 0 for outcome in told[40:]]
    early = [outcome.violation <= 0 for outcome in told[:20]]
    assert np.mean(late) > 0.8 > np.mean(early)


def test_as_long_as_all_violate_a_constraint_it_looks_for_who_violates_it_least():
    def violation(genome):
        return 5.0 + sum(abs(value - 0.7) for value in genome.values())

    told = found(Surrogate(CUBE, 0, {"model_generations": 20}), 4, violation=violation)
    early, late = ([outcome.violation for outcome in part] for part in (told[:20], told[-20:]))
    assert np.median(late) < min(early)
