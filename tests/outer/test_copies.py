"""Copies: a genome is trained once, and later trials of it take its result."""

import contextlib
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

import hebbevo
from hebbevo.study.ledger import Ledger
from tests.study.conftest import without_checksums


def test_a_genome_is_trained_once_and_later_trials_of_it_are_copies(
    exhausted: Path, tmp_path: Path, trained: list
) -> None:
    seen: list[hebbevo.Progress] = []
    study = hebbevo.search(exhausted, study=tmp_path / "s.db", watch=seen.append)
    assert len(trained) == len(set(trained)) == 6 * 2
    trials = study.trials()
    assert len(trials) == 24
    assert trials.generation.tolist() == [number // 8 for number in range(24)]
    names = ["genome.penalty_form", "genome.learning_rate"]
    first = trials.groupby(names).trial.transform("min")
    copies = trials[trials.trial != first]
    assert len(copies) == 18
    assert trials.copy_of.dropna().tolist() == first[copies.index].tolist()
    assert (copies.seconds == 0).all() and (trials.seconds.drop(copies.index) > 0).all()
    same = ["state", "accuracy", "accuracy_sd", "survivors", "survivors_sd", "collapsed", "failure"]
    originals = trials.loc[copies.copy_of, same].reset_index(drop=True)
    pd.testing.assert_frame_equal(copies[same].reset_index(drop=True), originals, check_exact=True)
    assert {"failed", "complete"} == set(copies.state)
    assert not set(study.front().trial) & set(copies.trial)
    assert seen[-1].copies == 18 and seen[-1].trials == 24


def test_a_copy_is_recorded_in_the_transaction_of_its_original_or_after_it(
    exhausted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohorts = []
    real = Ledger.close_cohort

    def close_cohort(self, results, *others):
        cohorts.append({result.number: result.details.copy_of for result in results})
        real(self, results, *others)

    monkeypatch.setattr(Ledger, "close_cohort", close_cohort)
    trials = hebbevo.search(exhausted, study=tmp_path / "s.db").trials()
    first = trials[(trials.generation == 0) & trials.copy_of.notna()]
    assert len(first)  # of six genomes, among eight trials
    assert cohorts[0].keys() == set(range(8))
    assert [set(range(8, 16)), set(range(16, 24))] == [set(cohort) for cohort in cohorts[1:]]
    assert all(original < 8 for cohort in cohorts[1:] for original in cohort.values())


def test_generations_of_copies_only_train_nothing_and_end(
    exhausted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hebbevo.search(exhausted, study=tmp_path / "s.db", trials=8).path
    monkeypatch.setattr("hebbevo.execution.worker_setup.train", lambda *_: pytest.fail("a copy was trained"))
    grown = hebbevo.resume(path, trials=100)
    assert len(grown.trials()) == 100
    assert set(grown.trials().state) == {"complete", "failed"}


@pytest.mark.usefixtures("pairs")
def test_repeats_that_an_earlier_version_trained_stay_as_they_are(
    exhausted: Path, tmp_path: Path, trained: list
) -> None:
    path = hebbevo.search(exhausted, study=tmp_path / "s.db", trials=8).path
    before = hebbevo.open_study(path).trials().drop(columns="seconds")
    repeat = int(before.trial[before.copy_of.notna()].iloc[0])
    halves = [number for number in range(8) if pd.isna(before.copy_of[number])][1::2]  # of every cohort
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ids = {number: key for key, number in connection.execute("SELECT trial_id, number FROM trials")}
        keys = ",".join(str(ids[number]) for number in halves)
        connection.execute(
            "DELETE FROM trial_user_attributes WHERE key = 'copy_of' AND trial_id = ?", [ids[repeat]]
        )
        connection.execute(f"DELETE FROM trial_user_attributes WHERE trial_id IN ({keys})")
        connection.execute(f"DELETE FROM trial_values WHERE trial_id IN ({keys})")
        connection.execute(f"UPDATE trials SET state = 'RUNNING' WHERE trial_id IN ({keys})")
        connection.commit()
    without_checksums(path)
    trained.clear()
    after = hebbevo.resume(path).trials().drop(columns="seconds")
    assert trained
    before.loc[repeat, "copy_of"] = pd.NA
    before.loc[repeat, "attempts"] = 1
    pd.testing.assert_frame_equal(after, before, check_exact=True)
