"""The score of a trial, from the measurements of its replicates."""

from dataclasses import replace
from statistics import stdev

import pytest

from hebbevo.training import Measurement, score
from hebbevo.training.trial_details import EarlyStop, TrialDetails

A = Measurement((0.5, 0.75), (20, 12), (8, 4), inputs=9, seconds=1.5, neurons=30)
B = Measurement((0.25, 0.8), (20, 9), (6, 3), inputs=10, seconds=2.0, neurons=30)
C = Measurement((0.5, 0.85), (18, 6), (4, 2), inputs=5, seconds=0.5, neurons=30)
COLLAPSED = Measurement((0.5, 0.25), (20, 0), (0, 0), inputs=0, seconds=1.0)
FAILED = Measurement((0.5, 0.1), (20, 20), (10, 10), 9, 1.0, "the loss became NaN or infinite at step 3")


def test_a_score_is_the_mean_over_replicates_with_its_standard_deviation():
    result = score([A, B, C])
    assert result.values == pytest.approx((0.8, 9.0))
    assert result.details.to_json() == {
        "accuracy_sd": pytest.approx(stdev([0.75, 0.8, 0.85])),
        "survivors_sd": pytest.approx(3.0),
        "neurons": 30,
        "survivors_per_layer": [6.0, 3.0],
        "inputs": 8.0,
        "collapsed": False,
        "accuracy_per_epoch": pytest.approx([1.25 / 3, 0.8]),
        "survivors_per_epoch": pytest.approx([58 / 3, 9.0]),
        "replicates": [
            {"accuracy": 0.75, "survivors": 12},
            {"accuracy": 0.8, "survivors": 9},
            {"accuracy": 0.85, "survivors": 6},
        ],
        "epochs": 2,
        "seconds": 4.0,
    }


def test_further_counts_are_averaged_like_survivors():
    counts = [(90, 60), (80, 45), (70, 30)]
    measured = [
        replace(each, further={"connections": own}) for each, own in zip((A, B, C), counts, strict=True)
    ]
    result = score(measured)
    assert result.values == pytest.approx((0.8, 9.0, 45.0))
    assert result.details.further_per_epoch == {"connections": [80.0, 45.0]}
    assert result.details.further_sd == {"connections": 15.0}
    assert [each["connections"] for each in result.details.replicates] == [60, 45, 30]
    assert TrialDetails.from_json(result.details.to_json()) == result.details
    assert score(measured[:1]).details.further_sd == {}


def test_a_trial_is_stopped_with_its_replicates_and_has_no_values():
    one, other = (
        Measurement(
            (0.5, 0.75), (20, 12), (8, 4), 9, 1.0, neurons=30, stopped=True, predicted_final=predicted
        )
        for predicted in ((0.8, 6.0), (0.9, 10.0))
    )
    result = score([one, other])
    assert result.values is None
    assert result.details.accuracy_per_epoch == [0.5, 0.75]
    reason = "after 2 epochs it was heading for 0.850 with 8, which is beaten"
    assert result.details.stopped == EarlyStop(2, (pytest.approx(0.85), 8.0), reason)


def test_a_trial_that_is_stopped_because_it_lost_no_neuron_says_so():
    measured = Measurement(
        (0.5, 0.75), (30, 30), (20, 10), 9, 1.0, neurons=30, stopped=True, unpruned=True,
        predicted_final=(0.75, 30.0),
    )  # fmt: skip
    reason = "after 2 epochs it had lost none of its 30 neurons"
    assert score([measured] * 2).details.stopped == EarlyStop(2, (0.75, 30.0), reason)


def test_a_replicate_that_failed_makes_a_failed_trial_of_a_stopped_one():
    stopped = Measurement((0.5,), (20,), (10, 10), 9, 1.0, stopped=True)
    assert score([stopped, FAILED]).details.stopped is None


def test_a_single_replicate_is_its_own_mean_and_has_no_standard_deviation():
    result = score([A])
    assert result.values == (0.75, 12)
    assert (result.details.accuracy_sd, result.details.survivors_sd) == (None, None)
    assert result.details.accuracy_per_epoch == [0.5, 0.75]


def test_a_trial_fails_if_any_replicate_did():
    result = score([A, FAILED, FAILED])
    assert result.values is None
    assert result.details.to_json() == {
        "failure": "replicate 1: the loss became NaN or infinite at step 3",
        "neurons": 30,
        "seconds": 3.5,
    }


def test_the_failure_of_a_single_replicate_has_no_number():
    result = score([FAILED])
    assert result.values is None
    assert result.details.failure == "the loss became NaN or infinite at step 3"


def test_a_trial_has_collapsed_if_any_replicate_did_and_keeps_its_true_accuracy():
    result = score([A, COLLAPSED])
    assert result.details.collapsed is True
    assert result.values == (0.5, 6.0)


@pytest.mark.parametrize(
    ("measurement", "collapsed"), [(A, False), (COLLAPSED, True), (FAILED, False),
                                   (Measurement((), (), (), 0, 0.0, failure="no memory"), False)]
)  # fmt: skip
def test_collapsed_is_a_training_that_succeeded_without_a_survivor(measurement, collapsed):
    assert measurement.collapsed is collapsed
