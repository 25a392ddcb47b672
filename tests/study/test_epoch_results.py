"""The epoch results that count against their definition, epoch by epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hebbevo.study.epoch_results import EpochResult, epoch_results, which_count
from hebbevo.study.ledger import Result
from hebbevo.training.trial_details import EarlyStop, TrialDetails

STATES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5).map(float)), min_size=1, max_size=12)


def details(states: list[tuple[float, float]], **others: object) -> TrialDetails:
    accuracy, survivors = zip(*states, strict=True)
    return TrialDetails(accuracy_per_epoch=accuracy, survivors_per_epoch=survivors, **others)


@given(STATES)
def test_of_epochs_with_the_same_number_of_survivors_only_the_last_counts(states) -> None:
    expected = [
        EpochResult(epoch, *state)
        for epoch, state in enumerate(states, start=1)
        if not any(later[1] == state[1] for later in states[epoch:])
    ]
    complete = Result(0, states[-1], details(states))
    assert epoch_results(complete, len(states)) == expected
    assert expected[-1] == EpochResult(len(states), *states[-1])
    stopped = Result(0, None, details(states, stopped=EarlyStop(len(states), None, "beaten")))
    assert epoch_results(stopped, len(states) + 3) == expected
    copied = Result(7, states[-1], details(states, copy_of=0))
    assert epoch_results(copied, len(states)) == expected


def test_the_best_of_noisy_epochs_with_the_same_survivors_does_not_count() -> None:
    noisy = [(0.9, 8.0), (0.95, 4.0), (0.7, 4.0), (0.99, 8.0), (0.6, 4.0), (0.8, 2.0)]
    found = epoch_results(Result(0, noisy[-1], details(noisy)), 6)
    assert found == [EpochResult(4, 0.99, 8.0), EpochResult(5, 0.6, 4.0), EpochResult(6, 0.8, 2.0)]
    assert [each.values for each in found] == [(0.99, 8.0), (0.6, 4.0), (0.8, 2.0)]


@pytest.mark.parametrize("details", [TrialDetails(), TrialDetails(failure="diverged", seconds=1.0)])
def test_a_failed_trial_has_no_epoch_results(details) -> None:
    assert epoch_results(Result(0, None, details), 5) == []


def test_a_trial_without_recorded_epochs_has_its_last_one() -> None:
    assert epoch_results(Result(0, (0.5, 3.0), TrialDetails()), 5) == [EpochResult(5, 0.5, 3.0)]


@given(st.lists(STATES, max_size=5))
def test_of_many_trials_at_once_the_same_results_count(trials) -> None:
    numbers = [number for number, states in enumerate(trials) for _ in states]
    accuracies, survivors = np.array([state for states in trials for state in states]).reshape(-1, 2).T
    counts = which_count(np.array(numbers, int), survivors.reshape(-1, 1))
    found = sorted(zip(np.array(numbers)[counts], accuracies[counts], survivors[counts], strict=True))
    expected = [
        (number, *result.values)
        for number, states in enumerate(trials)
        for result in epoch_results(Result(number, states[-1], details(states)), len(states))
    ]
    assert found == sorted(expected)
