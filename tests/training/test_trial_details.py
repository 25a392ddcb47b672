"""What is recorded of a trial, as JSON and back."""

import json

import pytest

from hebbevo.training import Measurement, score
from hebbevo.training.trial_details import EarlyStop, TrialDetails

TRAINED = Measurement((0.5, 0.75), (20, 12), (8, 4), inputs=9, seconds=1.5, neurons=30)
NOTED = Measurement((0.5, 0.8), (20, 9), (6, 3), 10, 2.0, neurons=30, notes=("counted alone", "not stacked"))
COLLAPSED = Measurement((0.5, 0.25), (20, 0), (0, 0), inputs=0, seconds=1.0)
STOPPED = Measurement((0.5,), (20,), (10, 10), 9, 1.0, stopped=True)
PREDICTED = Measurement((0.5,), (20,), (10, 10), 9, 1.0, stopped=True, predicted_final=(0.9, 4.0))
FAILED = Measurement((0.5, 0.1), (20, 20), (10, 10), 9, 1.0, "the loss became NaN or infinite at step 3")

MEASUREMENTS = [[TRAINED], [TRAINED, NOTED], [COLLAPSED, TRAINED], [TRAINED, FAILED], [STOPPED], [PREDICTED]]


@pytest.mark.parametrize("measurements", MEASUREMENTS)
def test_details_are_the_same_after_strict_json(measurements: list[Measurement]) -> None:
    details = score(measurements).details
    plain = json.loads(json.dumps(details.to_json(), allow_nan=False))
    assert TrialDetails.from_json(plain) == details
    assert TrialDetails.from_json(plain).to_json() == plain


def test_a_stopped_trial_and_a_copy_are_recorded_under_the_keys_of_earlier_versions() -> None:
    assert score([PREDICTED]).details.to_json()["stopped"] == {
        "epoch": 1,
        "heading": [0.9, 4.0],
        "reason": "after 1 epochs it was heading for 0.900 with 4, which is beaten",
    }
    assert TrialDetails(copy_of=0).to_json()["copy_of"] == 0
    trained = score([TRAINED]).details.to_json()
    assert not {"failure", "notes", "stopped", "copy_of"} & set(trained)
    assert trained["accuracy_sd"] is None


def test_of_a_failed_trial_only_the_failure_the_neurons_and_the_seconds_are_recorded() -> None:
    assert TrialDetails(failure="no memory", neurons=30, seconds=2.0).to_json() == {
        "failure": "no memory",
        "neurons": 30,
        "seconds": 2.0,
    }
    assert TrialDetails(failure="no memory").to_json() == {"failure": "no memory", "seconds": 0.0}


def test_entries_of_other_programs_are_ignored_and_missing_ones_are_empty() -> None:
    details = TrialDetails.from_json({"comment": "look at this one", "seconds": 2.0})
    assert details == TrialDetails(seconds=2.0)


def test_a_stop_that_was_recorded_before_predictions_were_has_none() -> None:
    plain = {"epoch": 3, "reason": "beaten by all others"}
    assert EarlyStop.from_json(plain) == EarlyStop(3, None, "beaten by all others")
