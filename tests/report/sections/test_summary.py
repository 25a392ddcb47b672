import numpy as np
import pandas as pd

from hebbevo.objectives.goal import Goal
from hebbevo.report.sections.summary import summary
from tests.report.conftest import Document


def test_the_summary_names_the_best_network_and_the_smallest_within_a_percentage_point(small):
    frame = small.record.frame.iloc[:4].assign(
        state="complete", accuracy=[0.98, 0.971, 0.969, 0.1], survivors=[200.0, 64.0, 30.0, 0.0]
    )
    text = Document(summary(small.but(frame=frame)).body).text
    assert (
        "The best network reaches 98.0 % with 200 of 256 neurons (78.1 %, trial 0); the smallest within one "
        "percentage point of it reaches 97.1 % with 64 of 256 neurons (25.0 %, trial 1)."
    ) in text
    # by hand, reference (0.1, 256): the steps of the front over the survivors' shares, divided by 0.9
    area = 0.869 * (256 - 30) + 0.002 * (256 - 64) + 0.009 * (256 - 200)
    assert f"hypervolume{area / 256 / 0.9:.4f}" in text


def test_the_summary_says_so_if_the_best_network_is_also_the_smallest(small):
    frame = small.record.frame.iloc[:2].assign(
        state="complete", accuracy=[0.98, 0.5], survivors=[200.0, 64.0]
    )
    text = Document(summary(small.but(frame=frame)).body).text
    assert "(78.1 %, trial 0); no smaller one is within one percentage point of it." in text


def test_the_summary_holds_the_settings_and_the_counts(small):
    text = Document(summary(small).body).text
    for fact in (
        *("trials done10", "failed2", "neurons at first256", "data setdigits", "networkmlp, hidden 128-128"),
        *(
            "(activity contribution)",
            "unitsstamina",
            "connectionsfull",
            "creditbackprop",
            "samplerga",
            "seed7",
            "chance accuracy10.0 %",
        ),
        "versionshebbevo 0.1.0, torch 2.13.0",
    ):
        assert fact in text


def test_user_networks_and_scores_are_named_instead_of_family_rules_and_accuracy(small):
    network = {"module": "mine:build", "settings": {"settle": 0.3}}
    task = {"loss": "mine:loss", "score": "mine:f1"}
    text = Document(summary(small.but(settings={"network": network, "task": task})).body).text
    for words in (
        "networkmine:build (settle 0.3)",
        "lossmine:loss",
        "Accuracy here means the score by mine:f1 on validation data",
    ):
        assert words in text
    assert "backprop" not in text and "mlp" not in text


def test_running_trials_count_as_neither_done_nor_failed(small):
    frame = small.record.frame.assign(state="running", accuracy=np.nan, survivors=np.nan)
    text = Document(summary(small.but(frame=frame)).body).text
    assert "No trial has finished yet." in text
    assert "trials done0" in text and "failed0" in text and "running12" in text


def test_the_summary_of_a_single_objective_names_the_best_trial(small):
    frame = small.record.frame.iloc[:3].assign(
        state="complete", accuracy=[0.98, 0.95, 0.5], survivors=[200.0, 30.0, 4.0]
    )
    goal = Goal(("survivors",), {}, {"accuracy": (0.9, None)})
    text = Document(summary(small.but(frame=frame, goal=goal)).body).text
    assert (
        "The best network within the constraints, by fewest survivors, reaches 95.0 % with 30 of 256 neurons "
        "(11.7 %, trial 1)."
    ) in text
    assert "objectivesfewest survivors" in text and "constraintsaccuracy at least 0.9" in text
    # of the two feasible trials, by hand
    assert f"hypervolume{(0.85 * (256 - 30) + 0.03 * (256 - 200)) / 256 / 0.9:.4f}" in text


def test_copies_are_counted_in_the_summary(small):
    frame = small.record.frame.assign(copy_of=pd.array([None] * 9 + [0, 0, 1], dtype="Int64"))
    assert "of them copies3" in Document(summary(small.but(frame=frame)).body).text
    assert "copies" not in Document(summary(small).body).text


def test_the_summary_names_the_epoch_of_networks_before_the_end_and_counts_them(with_earlier_states):
    text = Document(summary(with_earlier_states).body).text
    assert (
        "The best network reaches 98.0 % with 200 of 256 neurons (78.1 %, trial 0); the smallest within one "
        "percentage point of it reaches 97.5 % with 128 of 256 neurons (50.0 %, trial 1 after 6 of 20 "
        "epochs)."
    ) in text
    assert "on the front3" in text and "of them at an earlier epoch1" in text
    area = 0.5 * (256 - 60) + 0.475 * (256 - 128) + 0.005 * (256 - 200)
    assert f"hypervolume{area / 256:.4f}" in text


def test_two_points_of_one_trial_can_be_the_best_and_the_smallest_in_reach(with_earlier_states):
    frame = with_earlier_states.record.frame.assign(accuracy=0.97)
    text = Document(summary(with_earlier_states.but(frame=frame)).body).text
    best = "The best network reaches 97.5 % with 128 of 256 neurons (50.0 %, trial 1 after 6 of 20 epochs)"
    assert f"{best}; the smallest within one percentage point of it reaches 97.0 % with 60 of" in text
