"""The first section, without a confirmation and with one."""

import math

import numpy as np
import pandas as pd
import pytest

from hebbevo.objectives.goal import Goal
from hebbevo.report.sections.decision import decision
from tests.report.conftest import Document, charts, confirmed


def text_of(study):
    return Document(decision(study).body).text


def with_points(study, accuracy, survivors, **changes):
    frame = study.record.frame.iloc[: len(accuracy)].assign(
        state="complete", accuracy=accuracy, survivors=survivors, accuracy_sd=np.nan, survivors_sd=np.nan
    )
    return study.but(frame=frame, **changes)


def test_what_was_only_found_is_called_so_and_the_command_that_confirms_it_is_named(small):
    text = text_of(small)
    assert "Found, not confirmed: the best of 10 noisy scores." in text
    assert "hebbevo confirm studies/stamina.db" in text
    assert "verdict" not in text and "above a dense" not in text


def test_the_smallest_network_within_the_noise_of_the_best_is_named(small):
    study = with_points(small, [0.98, 0.965, 0.955, 0.1], [200.0, 64.0, 30.0, 4.0], rows={"validation": 269})
    text = text_of(study)
    # by hand: 1.96 sqrt(0.98 x 0.02 / 269) = 0.0167
    assert (
        "The best network reaches 98.0 % with 200 of 256 neurons (78.1 %, trial 0); the smallest within its "
        "noise reaches 96.5 % with 64 of 256 neurons (25.0 %, trial 1)."
    ) in text
    assert "within 1.7 points of the best: the 95 % interval of a share of 269 validation rows" in text
    assert "269 validation rows: one row of one replicate is 0.37 points." in text


def test_replicates_tell_the_noise_where_there_are_any(small):
    study = with_points(small, [0.98, 0.965, 0.956], [200.0, 64.0, 30.0])
    frame = study.record.frame.assign(accuracy_sd=0.01)
    text = text_of(study.but(frame=frame))
    # by hand: t(0.975, 2) = 4.303, times 0.01 / sqrt(3) = 0.0248
    assert "within 2.5 points of the best: the 95 % interval over 3 replicates" in text
    assert "the smallest within its noise reaches 95.6 % with 30" in text


def test_it_is_said_if_the_best_network_is_also_the_smallest(small):
    text = text_of(with_points(small, [0.98, 0.5], [200.0, 64.0]))
    assert "(78.1 %, trial 0); no smaller one is within its noise." in text
    assert "The smallest within the noise of the best, also the most accurate" in text


def test_a_network_that_pruned_nothing_does_not_read_as_success(small):
    assert "It lost none of its neurons" in text_of(with_points(small, [0.98], [256.0]))
    assert "It lost none of its neurons" not in text_of(with_points(small, [0.98], [255.0]))
    assert "nor whether a small dense network would do" in text_of(small)


def test_a_network_without_a_rule_that_prunes_is_not_said_to_have_pruned_nothing(small):
    study = with_points(small, [0.98], [256.0])
    study = study.but(settings={"network": {"units": "dense", "credit": "softhebb"}})
    text = text_of(study)
    assert "It lost none" not in text
    assert "nor whether a small dense network would do" not in text
    assert "Nothing here says yet what a network will score. This command finds out" in text


def test_whole_numbers_of_neurons_have_no_decimals(small):
    study = with_points(small, [0.98], [30.0])
    frame = study.record.frame.assign(neurons=small.record.frame["neurons"].iloc[:1].astype(float))
    text = text_of(study.but(frame=frame, goal=Goal(("accuracy",))))
    assert "30 of 256 neurons" in text and "256.0" not in text


def test_the_decision_of_a_single_objective_is_the_best_trial(small):
    goal = Goal(("survivors",), {}, {"accuracy": (0.9, None)})
    text = text_of(with_points(small, [0.98, 0.95, 0.5], [200.0, 30.0, 4.0], goal=goal))
    assert (
        "The best network within the constraints, by fewest survivors, reaches 95.0 % with 30 of 256 neurons "
        "(11.7 %, trial 1)."
    ) in text
    assert "The most accurate" not in text


def test_networks_before_the_end_are_named_with_their_epoch(with_earlier_states):
    text = text_of(with_earlier_states)
    assert "the smallest within its noise reaches 97.5 % with 128 of 256 neurons" in text
    assert "(50.0 %, trial 1 after 6 of 20 epochs)." in text


def test_a_score_of_the_users_own_is_named(small):
    text = text_of(small.but(settings={"task": {"score": "mine:f1"}}))
    assert "Accuracy here means the score by mine:f1 on validation data" in text


@pytest.fixture(scope="module")
def with_confirmation(small):
    return confirmed(small)


def test_a_confirmed_study_speaks_in_confirmed_numbers(with_confirmation):
    text = text_of(with_confirmation)
    members = with_confirmation.confirmation.members()
    best = members[members["on_front"]].sort_values("confirmed_accuracy").iloc[-1]
    assert "not confirmed" not in text and "noisy" not in text
    assert text.startswith("Take trial ") and " on test rows, with " in text
    assert f"{100 * best['confirmed_accuracy']:.1f}" in text
    assert f"mean, 95 %{100 * best['confirmed_low']:.1f} to {100 * best['confirmed_high']:.1f} %" in text
    sentence = with_confirmation.confirmation.sentence
    assert sentence[1:] in text
    assert "0.37" not in text


def test_the_recommended_network_is_the_smallest_whose_mean_is_in_the_interval_of_the_best(with_confirmation):
    members = with_confirmation.confirmation.members()
    front = members[members["on_front"]].sort_values("confirmed_survivors")
    best = front.loc[front["confirmed_accuracy"].idxmax()]
    small = front[front["confirmed_accuracy"] >= best["confirmed_low"]].iloc[0]
    assert text_of(with_confirmation).startswith(f"Take trial {small['trial']}: ")


def test_the_chart_of_the_verdict_has_the_intervals_of_the_difference(with_confirmation):
    members = with_confirmation.confirmation.members()
    figure = charts(decision(with_confirmation).body)["chart-verdict"]
    drawn = {}
    for trace in figure["data"]:
        for place, trial in enumerate(trace["customdata"]):
            low = trace["y"][place] - trace["error_y"]["arrayminus"][place]
            drawn[trial] = trace["name"].split()[0], low
    for row in members.to_dict("records"):
        verdict, low = drawn[f"{row['trial']}:{row['epoch']}"]
        assert verdict == row["verdict"] and math.isclose(low, row["difference_low"], abs_tol=1e-12)


def test_every_confirmed_member_has_a_row_and_those_off_the_front_a_mark(with_confirmation):
    body = decision(with_confirmation).body
    members = with_confirmation.confirmation.members()
    assert body.count('<tr><th scope="row">') == len(members)
    assert body.count(" *</td>") == (~members["on_front"]).sum()


def test_without_a_test_no_test_score_is_shown(small):
    text = text_of(confirmed(small, has_test=False))
    assert " on validation rows, with " in text
    assert "Test accuracy was not measured." in text and "on test rows" not in text


def test_a_stale_confirmation_is_marked(small):
    study = confirmed(small)
    frame = study.record.frame
    grown = study.but(frame=pd.concat([frame, frame.iloc[-1:].assign(trial=len(frame))]))
    assert "Stale: the study has more trials since it was confirmed (2026-01-31" in text_of(grown)
    assert "confirmed, stale" in text_of(grown) and "Stale" not in text_of(study)


def test_an_incomplete_confirmation_is_marked(small):
    assert "Not complete: trainings of this confirmation are missing." in text_of(
        confirmed(small, is_complete=False)
    )
