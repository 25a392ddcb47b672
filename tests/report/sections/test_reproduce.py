"""The section on how to repeat a search."""

import numpy as np
import pandas as pd

from hebbevo.objectives.goal import Goal
from hebbevo.report.sections.reproduce import reproduce, space_file
from hebbevo.spec import Spec, read, spec_from_json
from hebbevo.study.ledger import Generation
from tests.report.conftest import Document, MadeUpRecord


def text_of(study):
    return Document(reproduce(study).body).text


def test_the_settings_and_the_counts_are_shown(small):
    text = text_of(small)
    for fact in (
        *("trials done10", "failed2", "neurons at first256", "data setdigits", "networkmlp, hidden 128-128"),
        *("(activity contribution)", "unitsstamina", "connectionsfull", "creditbackprop", "samplerga"),
        *("seed7", "chance accuracy10.0 %", "versionshebbevo 0.1.0, torch 2.13.0"),
    ):
        assert fact in text


def test_the_hypervolume_is_that_of_the_front(small):
    frame = small.record.frame.iloc[:4].assign(
        state="complete", accuracy=[0.98, 0.971, 0.969, 0.1], survivors=[200.0, 64.0, 30.0, 0.0]
    )
    # by hand, reference (0.1, 256): the steps of the front over the survivors' shares, divided by 0.9
    area = 0.869 * (256 - 30) + 0.002 * (256 - 64) + 0.009 * (256 - 200)
    assert f"hypervolume, as found{area / 256 / 0.9:.4f}" in text_of(small.but(frame=frame))


def test_user_networks_are_named_instead_of_family_and_rules(small):
    network = {"module": "mine:build", "settings": {"settle": 0.3}}
    text = text_of(small.but(settings={"network": network, "task": {"loss": "mine:loss"}}))
    assert "networkmine:build (settle 0.3)" in text and "lossmine:loss" in text
    facts = text.partition("Commands")[0]
    assert "backprop" not in facts and "mlp" not in facts


def test_trials_without_a_result_are_begun_not_finished(small):
    frame = small.record.frame.assign(state="running", accuracy=np.nan, survivors=np.nan)
    text = text_of(small.but(frame=frame))
    assert "trials done0" in text and "failed0" in text and "begun, not finished12" in text


def test_goal_and_constraints_are_named(small):
    goal = Goal(("survivors",), {}, {"accuracy": (0.9, None)})
    text = text_of(small.but(goal=goal))
    assert "objectivesfewest survivors" in text and "constraintsaccuracy at least 0.9" in text


def test_copies_are_counted(small):
    frame = small.record.frame.assign(copy_of=pd.array([None] * 9 + [0, 0, 1], dtype="Int64"))
    assert "of them copies3" in text_of(small.but(frame=frame))
    assert "copies" not in text_of(small)


def test_points_at_an_earlier_epoch_are_counted(with_earlier_states):
    text = text_of(with_earlier_states)
    assert "on the front3" in text and "of them at an earlier epoch1" in text


def test_the_number_of_trials_is_the_one_that_was_asked_for_last(small):
    class Resumed(MadeUpRecord):
        def generations(self):
            *early, last = super().generations()
            return [*early, Generation(last.number, 800, last.progress, last.records)]

    study = type(small)(Resumed(small.record.frame))
    assert "trials asked for800" in text_of(study) and "trials: 800" in space_file(study)


def test_time_of_training_is_said_to_be_summed_over_workers(small):
    frame = small.record.frame.assign(seconds=600.0)
    assert "training, summed over workers2.0 h" in text_of(small.but(frame=frame))


def test_the_wall_time_is_shown_where_it_was_recorded(small):
    assert "wall time" not in text_of(small)
    assert "wall time of the search1.5 h" in text_of(small.but(wall_seconds=5400.0))


def test_the_space_file_on_the_page_makes_the_same_search(small, tmp_path):
    spec = read("topology")  # with conditions, choices and whole numbers
    study = small.but()
    study.settings, study.total = spec.to_json(), spec.search.trials
    (tmp_path / "space.yaml").write_text(space_file(study))
    again = read(tmp_path / "space.yaml")
    assert isinstance(again, Spec) and again.to_json() == spec.to_json()
    assert spec_from_json(again.to_json()).to_json() == spec.to_json()
