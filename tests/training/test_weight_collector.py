"""Weights that come with measurements are those of the same training up to that epoch, bit for bit."""

from dataclasses import replace
from statistics import fmean

import pytest
import torch

from hebbevo.objectives.goal import Goal
from hebbevo.training import Candidate, Keeping, Measurement, networks_of, train, weight_collector
from hebbevo.training.keeping import beats
from hebbevo.training.replicates import median_replicate
from hebbevo.training.weights import unpack
from tests.training.conftest import CPU, DIVERGING, ONE_STRUCTURE, problem, recipe

EPOCHS = 4
ALL = Keeping((), Goal(), chance=0.0)
GENOMES = [*ONE_STRUCTURE[:4], {"hidden": 9}, DIVERGING]
REPLICATED = [Candidate(genome, replicate) for genome in GENOMES for replicate in range(3)]


def trained(candidates, keeping=None, **settings) -> list[Measurement]:
    return train(recipe(epochs=EPOCHS, **settings), candidates, problem(), CPU, keeping=keeping)


def without_weights(measured: list[Measurement]) -> list[str]:
    """The measurements in full, as texts: a NaN is no equal of itself."""
    return [repr(replace(each, weights={}, seconds=0.0)) for each in measured]


def expected(measured: list[Measurement]) -> set[int]:
    """By brute force, the epochs of a trial that are beaten by no other one that counts."""
    if any(each.failure for each in measured):
        return set()
    means = [
        tuple(round(fmean(column), 9) for column in zip(*values, strict=True))
        for values in zip(
            *(zip(each.accuracy, each.survivors, strict=True) for each in measured), strict=True
        )
    ]
    counts = [
        epoch for epoch, point in enumerate(means) if point[1] not in {s for _, s in means[epoch + 1 :]}
    ]
    return {epoch + 1 for epoch in counts if not any(beats(means[other], means[epoch]) for other in counts)}


@pytest.fixture(scope="module")
def measured() -> list[Measurement]:
    torch.set_num_threads(1)
    return trained(REPLICATED, ALL)


def test_the_measurements_are_the_same_with_and_without_weights(measured) -> None:
    assert without_weights(trained(REPLICATED)) == without_weights(measured)


def test_a_trial_has_the_weights_of_its_median_replicate_at_each_epoch_that_nothing_beats(measured) -> None:
    found = 0
    for trial in range(len(GENOMES)):
        own = measured[3 * trial : 3 * trial + 3]
        epochs = expected(own)
        found += len(epochs)
        for epoch in epochs:
            middle = median_replicate([each.accuracy[epoch - 1] for each in own])
            assert [epoch in each.weights for each in own] == [row == middle for row in range(3)]
        assert {epoch for each in own for epoch in each.weights} == epochs
    assert found > len(GENOMES)


def test_weights_are_those_of_the_network_trained_again_up_to_that_epoch(measured) -> None:
    plan = recipe(epochs=EPOCHS)
    kept = [(row, epoch) for row, each in enumerate(measured) for epoch in each.weights]
    for epoch in sorted({epoch for _, epoch in kept}):
        rows = [row for row, own in kept if own == epoch]
        again = networks_of(plan, REPLICATED, problem(), CPU, rows, epoch, [None] * len(REPLICATED))
        for row, (net, _) in zip(rows, again, strict=True):
            candidate = REPLICATED[row]
            built = plan.network.build(plan.settings_for(candidate.genome), candidate.seed(plan.seed) + 1)
            unpack(measured[row].weights[epoch], built)
            for name, tensor in net.state_dict().items():
                assert torch.equal(built.state_dict()[name], tensor), name


def test_nets_that_train_one_by_one_are_judged_with_their_replicates(measured) -> None:
    plan = replace(recipe(epochs=EPOCHS), stacked=False)
    alone = train(plan, REPLICATED[:6], problem(), CPU, keeping=ALL)
    for trial in range(2):
        own = alone[3 * trial : 3 * trial + 3]
        assert {epoch for each in own for epoch in each.weights} == expected(own)
        assert sum(len(each.weights) for each in own) == len(expected(own))


def test_what_the_front_beats_has_no_weights() -> None:
    unbeatable = Keeping(((1.0, 0.0),), Goal(), chance=0.0)
    assert not any(each.weights for each in trained(REPLICATED[:6], unbeatable))


def test_beyond_its_memory_the_oldest_weights_are_dropped(monkeypatch, measured) -> None:
    monkeypatch.setattr(weight_collector, "MOST_BYTES", 1)
    few = trained(REPLICATED[:6], ALL)
    assert not any(each.weights for each in few)
    assert any(each.weights for each in measured[:6])
