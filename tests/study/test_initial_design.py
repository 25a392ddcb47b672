import numpy as np
import pandas as pd
import pytest

from hebbevo.study.initial_design import initial_design

TRIALS = pd.DataFrame(
    {
        "trial": range(30),
        "generation": np.repeat([0, 1, 2], 10),
        "state": "complete",
        "copy_of": pd.array([pd.NA] * 30, dtype="Int64"),
    }
)


@pytest.mark.parametrize(
    ("sampler", "count"),
    [("random", 30), ("latin_hypercube", 30), ("surrogate", 10), ("ga", 10), ("tpe", 10)],
)
def test_the_trials_are_those_that_the_sampler_did_not_choose(sampler, count):
    assert initial_design(TRIALS, sampler, 0)["trial"].tolist() == [*range(count)]


def test_genomes_that_the_search_began_with_copies_and_running_trials_are_left_out():
    trials = TRIALS.copy()
    trials.loc[7, "copy_of"] = 3
    trials.loc[8, "state"] = "running"
    assert initial_design(trials, "surrogate", 5)["trial"].tolist() == [5, 6, 9]


def test_failed_and_stopped_trials_stay():
    trials = TRIALS.copy()
    trials.loc[1, "state"], trials.loc[2, "state"] = "failed", "stopped"
    assert len(initial_design(trials, "ga", 0)) == 10


def test_a_first_generation_that_was_cut_short_is_the_design():
    trials = TRIALS.assign(generation=np.repeat([0, 1], [4, 26]))
    assert len(initial_design(trials, "ga", 0)) == 4
    assert len(initial_design(trials, "surrogate", 0)) == 30  # its model needs ten outcomes


def test_a_study_without_trials_has_no_design():
    assert initial_design(TRIALS.iloc[:0], "surrogate", 0).empty
