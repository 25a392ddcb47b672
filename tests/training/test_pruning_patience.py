"""Pruning patience: which networks are stopped because they have lost no neuron, and when."""

from dataclasses import replace

import pytest
import torch

from hebbevo import native
from hebbevo.training import Candidate, train
from hebbevo.training.pruning_patience import first_events, is_unpruned
from hebbevo.training.recipe import NATIVE, PYTORCH
from tests.training.conftest import CPU, DIVERGING, candidates, problem, recipe

KEEPING = {"hebbian_threshold": -2.0, "unactivation_penalty": 1e-3}
PRUNING = {"unactivation_penalty": 3.0, "regrowth_rate": 0.0}
ENGINES = [PYTORCH, pytest.param(NATIVE, marks=pytest.mark.skipif(not native.is_built(), reason="no engine"))]


def test_the_first_event_is_the_first_step_with_one_or_comes_after_all_steps():
    events = torch.tensor([[False, True, False, True], [True, False, False, False], [False] * 4])
    assert first_events(events).tolist() == [2, 1, 5]


@pytest.mark.parametrize(
    ("survivors", "step", "stops"),
    [
        ((9, 9), 19, False),  # a step before the patience is over: 4 + 0.2 x 80
        ((9, 9), 20, True),
        ((9, 8), 20, False),
        ((8, 9), 20, False),  # regrown
    ],
)
def test_a_net_is_stopped_once_it_has_kept_all_its_neurons_for_a_part_of_the_training(survivors, step, stops):
    found = is_unpruned(torch.tensor([survivors]), 9, torch.tensor([4]), step, 80, 0.2)
    assert found.tolist() == [stops]


@pytest.mark.parametrize("engine", ENGINES)
def test_nets_that_could_lose_neurons_and_have_not_are_stopped_and_no_others(engine):
    the_recipe, split = replace(recipe(epochs=5), engine=engine), problem()  # 8 steps an epoch
    asked = candidates([KEEPING, PRUNING, {**KEEPING, "warmup": 18}, {**KEEPING, "warmup": 100}])
    whole = train(the_recipe, asked, split, CPU)
    found = train(the_recipe, asked, split, CPU, pruning_patience=0.25)  # of 40 steps
    assert [each.survivors[-1] == each.neurons for each in whole] == [True, False, True, True]
    # the first may lose some from step 2 on, the third from step 18 on, the last never
    assert [len(each.survivors) for each in found] == [2, 5, 4, 5]
    assert [each.stopped for each in found] == [True, False, True, False]
    for ours, full in zip(found, whole, strict=True):
        assert (ours.accuracy, ours.survivors) == (
            full.accuracy[: len(ours.accuracy)],
            full.survivors[: len(ours.survivors)],
        )
        assert ours.unpruned == ours.stopped
        reached = (ours.accuracy[-1], ours.survivors[-1])
        assert ours.predicted_final == (reached if ours.stopped else None)


def test_a_net_without_a_rule_that_prunes_is_not_stopped():
    dense, keeping = train(
        recipe(epochs=4), candidates([{"units": "dense"}, KEEPING]), problem(), CPU, pruning_patience=0.1
    )
    assert (dense.stopped, keeping.stopped) == (False, True)


def test_a_net_is_not_stopped_after_its_last_epoch():
    [measured] = train(recipe(epochs=2), candidates([KEEPING]), problem(), CPU, pruning_patience=0.6)
    assert not measured.stopped


def test_a_trial_is_stopped_only_where_none_of_its_replicates_has_lost_a_neuron():
    the_recipe, split = recipe(epochs=3, regrowth_rate=0.0), problem()
    weak = [
        {"unactivation_penalty": penalty, "hebbian_threshold": -0.1} for penalty in (0.08, 0.1, 0.12, 0.14)
    ]
    pairs = [Candidate(genome, replicate) for genome in [KEEPING, *weak] for replicate in range(3)]
    whole = train(the_recipe, pairs, split, CPU)
    found = train(the_recipe, pairs, split, CPU, pruning_patience=0.25)
    kept = [each.survivors[:1] == (each.neurons,) for each in whole]
    trials = [kept[row : row + 3] for row in range(0, len(kept), 3)]
    assert any(0 < sum(trial) < 3 for trial in trials)  # otherwise nothing is tested
    stopped = [each.stopped for each in found]
    assert [stopped[row : row + 3] for row in range(0, len(kept), 3)] == [
        [all(trial)] * 3 for trial in trials
    ]


def test_replicates_that_train_alone_are_not_judged_one_by_one():
    alone = replace(recipe(epochs=3), stacked=False)
    one, other = (Candidate(KEEPING, replicate) for replicate in (0, 1))
    assert not any(each.stopped for each in train(alone, [one, other], problem(), CPU, pruning_patience=0.1))
    [single] = train(alone, [one], problem(), CPU, pruning_patience=0.1)
    assert single.stopped


def test_a_net_that_diverged_is_not_stopped_but_fails():
    fine, diverged = train(
        recipe(epochs=3),
        candidates([KEEPING, {**KEEPING, **DIVERGING}]),
        problem(),
        CPU,
        pruning_patience=0.1,
    )
    assert (fine.stopped, diverged.stopped) == (True, False)
    assert diverged.failure
