"""The member of a front that is taken, against a choice by brute force."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from hebbevo.errors import UsageError
from hebbevo.objectives.goal import Goal
from hebbevo.study.champion import champion
from hebbevo.study.choices import confirmed_choices, confirmed_front, found_choices
from tests.report.conftest import (
    EPOCHS,
    MadeUpRecord,
    MadeUpStudy,
    confirmed,
    failed_at,
    made_up_trials,
)


@cache
def study(**changes) -> MadeUpStudy:
    return MadeUpStudy(MadeUpRecord(made_up_trials(count=60), **changes))


@cache
def confirmed_study() -> MadeUpStudy:
    return confirmed(study())


def with_points(accuracy, survivors, **changes) -> MadeUpStudy:
    frame = made_up_trials(count=60).iloc[: len(accuracy)]
    frame = frame.assign(
        state="complete",
        accuracy=accuracy,
        survivors=survivors,
        collapsed=False,
        accuracy_sd=np.nan,
        survivors_sd=np.nan,
    )
    return MadeUpStudy(MadeUpRecord(frame, **changes))


@pytest.mark.parametrize("most", [20, 64, 64.5, 256])
def test_within_a_number_of_survivors_it_is_the_most_accurate_of_all_points(most: float) -> None:
    points = study().points()
    within = points[points.works & (points.survivors <= most)]
    found = champion(study(), max_survivors=most)
    assert found.accuracy == within.accuracy.max() and found.survivors <= most
    assert found.reason == f"the highest accuracy with at most {most:g} neurons"
    assert (found.trial, found.epoch) in set(zip(within.trial, within.epoch, strict=True))


@pytest.mark.parametrize("least", [0.0, 0.8, 0.95])
def test_with_a_least_accuracy_it_is_the_smallest_of_all_points(least: float) -> None:
    points = study().points()
    enough = points[points.works & (points.accuracy >= least)]
    found = champion(study(), min_accuracy=least)
    assert found.survivors == enough.survivors.min() and found.accuracy >= least


def test_limits_that_a_member_reaches_exactly_are_met() -> None:
    for row in study().front().to_dict("records"):
        assert champion(study(), max_survivors=row["survivors"]).trial == row["trial"]
        assert champion(study(), min_accuracy=row["accuracy"]).trial == row["trial"]
    rounded = with_points([0.1 + 0.2, 0.9], [9.0, 30.0])
    assert champion(rounded, min_accuracy=0.3).trial == 0


def test_by_default_it_is_the_knee_of_the_report() -> None:
    front = study().front()
    chosen = found_choices(study(), front)
    found = champion(study())
    assert chosen.knee not in (None, 0, len(front) - 1)
    assert (found.trial, found.reason[:8]) == (front.trial.iloc[chosen.knee], "the knee")


@pytest.mark.parametrize(
    ("accuracy", "survivors", "reason"),
    [
        ([0.9, 0.5], [200.0, 64.0], "the front is too short for a knee"),
        ([0.9], [200.0], "the front is too short for a knee"),
    ],
)
def test_a_front_without_a_knee_gives_the_smallest_within_the_noise(accuracy, survivors, reason) -> None:
    found = champion(with_points(accuracy, survivors))
    assert found.trial == 0
    assert found.reason == f"the smallest within the noise of the best; {reason}"


def test_confirmed_figures_decide_where_they_are_asked_for() -> None:
    members = confirmed_study().confirmation.members()
    for most in (60, 128):
        within = members[members.confirmed_survivors <= most]
        found = champion(confirmed_study(), max_survivors=most, confirmed=True)
        assert (found.accuracy, found.survivors) == (within.confirmed_accuracy.max(), found.survivors)
    enough = members[members.confirmed_accuracy >= 0.9]
    found = champion(confirmed_study(), min_accuracy=0.9, confirmed=True)
    assert found.survivors == enough.confirmed_survivors.min()
    assert found.reason == "the fewest neurons with a confirmed accuracy of at least 90 %"
    front = confirmed_front(members)
    knee = confirmed_choices(confirmed_study(), front).knee
    assert champion(confirmed_study(), confirmed=True).trial == front.trial.iloc[knee]
    best = found_choices(study(), study().front()).best
    last = champion(confirmed_study(), trial=int(study().front().trial.iloc[best]), confirmed=True)
    assert last.accuracy in set(members.confirmed_accuracy)


def test_no_choice_depends_on_test_rows() -> None:
    [record] = confirmed_study().record.confirmed
    random = np.random.default_rng(0)
    trainings = {
        number: replace(each, test=float(random.uniform())) for number, each in record.trainings.items()
    }
    other = confirmed_study().but(confirmed=(replace(record, trainings=trainings),))
    assert not other.confirmation.members().equals(confirmed_study().confirmation.members())
    trial = int(study().front().trial.iloc[1])
    for choice in ({}, {"max_survivors": 60}, {"min_accuracy": 0.9}, {"trial": trial}):
        for figures in (False, True):
            assert champion(other, **choice, confirmed=figures) == champion(
                confirmed_study(), **choice, confirmed=figures
            )


def test_a_trial_is_taken_at_its_last_epoch_on_the_front_or_else_at_its_end() -> None:
    states = ((1, 2, 0.6, 256.0), (1, 6, 0.97, 128.0), (1, 12, 0.9, 64.0))
    made = with_points([0.98, 0.2], [200.0, 60.0], earlier_states=states, chance=0.3)
    assert (champion(made, trial=1).epoch, champion(made, trial=1).survivors) == (12, 64.0)
    beaten = with_points([0.98, 0.5], [60.0, 200.0])
    found = champion(beaten, trial=1)
    assert (found.trial, found.epoch, found.accuracy, found.survivors) == (1, EPOCHS, 0.5, 200.0)
    assert found.reason == "the trial that was asked for, which is not on the front"


@pytest.mark.parametrize(
    ("goal", "best"),
    [
        (Goal(objectives=("accuracy",)), 2),
        (Goal(objectives=("survivors",), constraints={"accuracy": (0.8, None)}), 1),
        (Goal(weights={"accuracy": 1.0, "survivors": -0.001}), 1),
    ],
)
def test_a_study_with_one_objective_gives_its_best(goal: Goal, best: int) -> None:
    made = with_points([0.5, 0.9, 0.95, 0.94], [10.0, 20.0, 100.0, 220.0], goal=goal)
    found = champion(made)
    assert (found.trial, found.reason) == (best, f"the best, by {goal.aim}")
    assert champion(made, max_survivors=50).trial == 1
    by_confirmed = champion(confirmed(made, gain=0.0), confirmed=True)
    assert by_confirmed.trial == best


def test_a_nearest_member_is_named_where_none_is_as_wanted() -> None:
    made = with_points([0.5, 0.9, 0.95], [10.0, 20.0, 100.0])
    with pytest.raises(UsageError) as caught:
        champion(made, max_survivors=9)
    assert str(caught.value) == (
        "studies/stamina.db: no network of its front has at most 9 neurons; the nearest is trial 0 after "
        "epoch 20: accuracy 50.0 % with 10 neurons"
    )
    with pytest.raises(UsageError) as caught:
        champion(made, min_accuracy=0.99)
    assert str(caught.value) == (
        "studies/stamina.db: no network of its front has an accuracy of at least 99 %; the nearest is "
        "trial 2 after epoch 20: accuracy 95.0 % with 100 neurons"
    )
    limited = with_points([0.5], [10.0], goal=Goal(constraints={"accuracy": (0.9, None)}))
    with pytest.raises(
        UsageError, match=r"no trial meets the constraints \(accuracy at least 0.9\); the near"
    ):
        champion(limited)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            {"max_survivors": 60, "min_accuracy": 0.9},
            "--max-survivors: --max-survivors and --min-accuracy are two choices; write one of them",
        ),
        ({"trial": 1, "max_survivors": 60}, "--trial: --trial and --max-survivors are two choices; write"),
        ({"trial": "1"}, "--trial: '1' is not a whole number; write the number of a trial"),
        ({"trial": 99}, "studies/stamina.db: there is no trial 99"),
        ({"max_survivors": -1}, "--max-survivors: -1 is no count; write a number of 0 or more"),
        ({"max_survivors": "60"}, "--max-survivors: '60' is no count; write a number of 0 or more"),
        ({"min_accuracy": 95}, "--min-accuracy: 95 is no share; write a number from 0 to 1, as 0.95"),
        ({"min_accuracy": float("nan")}, "--min-accuracy: nan is no share; write a number from 0 to 1"),
        ({"confirmed": True}, "studies/stamina.db: its front has not been confirmed; run 'hebbevo confirm"),
    ],
)
def test_choices_that_are_not_possible_are_refused_in_one_line(choice: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        champion(study(), **choice)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_regression_has_no_accuracy_to_ask_for() -> None:
    made = study()
    made = made.but()
    made.in_percent, made.score = False, "R2"
    with pytest.raises(UsageError) as caught:
        champion(made, min_accuracy=0.9)
    assert str(caught.value) == (
        "--min-accuracy: this study measures R2, not accuracy; write --max-survivors or --trial"
    )
    assert champion(made, max_survivors=60).survivors <= 60


def test_a_study_without_a_front_says_why() -> None:
    frame = made_up_trials(count=4, failed=0, collapsed=0)
    cases = {
        "no trial has finished yet": frame.iloc[:0],
        "every finished trial failed": failed_at(frame, frame.index, "diverged"),
        "no network on it is better than a guess; search longer, or change the space": frame.assign(
            accuracy=0.05
        ),
    }
    for message, own in cases.items():
        with pytest.raises(UsageError) as caught:
            champion(MadeUpStudy(MadeUpRecord(own)))
        assert str(caught.value) == f"studies/stamina.db: {message}"
    broken = MadeUpStudy(MadeUpRecord(failed_at(frame, [1], "diverged")))
    with pytest.raises(UsageError, match="trial 1 failed: diverged"):
        champion(broken, trial=1)


def test_a_trial_that_was_not_confirmed_is_refused_with_those_that_were() -> None:
    numbers = sorted({*confirmed_study().confirmation.members().trial})
    other = min({*range(60)} - {*numbers})
    with pytest.raises(UsageError) as caught:
        champion(confirmed_study(), trial=other, confirmed=True)
    listed = ", ".join(map(str, numbers))
    assert str(caught.value).endswith(f"trial {other} has no confirmed figures; confirmed are {listed}")
