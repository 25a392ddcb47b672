"""Confirmations in a study file come back as they were, and damage is one line."""

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import hebbevo
from hebbevo.errors import StudyError
from hebbevo.study.confirmation_record import ConfirmationRecord, Member, Request, Role, Training
from hebbevo.study.copying import write
from hebbevo.study.ledger import Ledger
from hebbevo.study.storage import StudyFile
from tests.study.conftest import FACTS, SPEC

REQUEST = Request(
    members=(Member(trial=3, epoch=2, accuracy=0.1 + 0.2, survivors=4.5, neurons=20, settle=0.3),),
    replicates=2,
    has_test=True,
    trials=8,
    date="2026-01-31 12:00 UTC",
)
MEMBERS = {
    number: Training(
        role=Role.MEMBER,
        trial=3,
        replicate=number,
        epochs=2,
        widths=(3, 1),
        accuracy=1 / 3,
        halves=(0.1 + 0.2, 2 / 3),
        test=0.7,
        survivors=4,
        multiply_adds=1e9 + 1,
        seconds=0.1,
    )
    for number in range(2)
}
FAILED = {
    2: Training(role=Role.DENSE, trial=3, replicate=0, epochs=2, learning_rate=0.1, failure='"ü\n'),
    4: Training(role=Role.LONGER, trial=3, replicate=0, epochs=4, weight_decay=0.0),
}
MISSING = {3: Training(role=Role.TUNING, trial=3, replicate=0, epochs=4)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "s.db"
    with Ledger.create(path, SPEC, FACTS) as ledger:
        ledger.open_confirmation(0, REQUEST)
        ledger.add_trainings(0, MEMBERS)
        ledger.add_trainings(0, FAILED)
    return path


def confirmations(path: Path) -> list[ConfirmationRecord]:
    with Ledger.open(path) as ledger:
        return ledger.confirmations()


def test_a_confirmation_comes_back_exactly_as_it_was(path: Path) -> None:
    assert confirmations(path) == [ConfirmationRecord(0, REQUEST, MEMBERS | FAILED, False)]
    with Ledger.open(path) as ledger:
        ledger.add_trainings(0, MISSING)
        ledger.close_confirmation(0, 5)
    assert confirmations(path) == [ConfirmationRecord(0, REQUEST, MEMBERS | MISSING | FAILED, True)]


def test_a_copy_and_what_is_written_anew_hold_the_confirmations(path: Path, tmp_path: Path) -> None:
    hebbevo.copy(path, tmp_path / "copy.db")
    assert confirmations(tmp_path / "copy.db") == confirmations(path)
    with Ledger.create(tmp_path / "new.db", SPEC, FACTS) as ledger:
        ledger.add_confirmations(confirmations(path))
    assert confirmations(tmp_path / "new.db") == confirmations(path)


def test_what_is_recorded_already_stays(path: Path) -> None:
    before = confirmations(path)
    with Ledger.open(path) as ledger:
        ledger.add_trainings(0, {0: MISSING[3], 1: MISSING[3]})
    assert confirmations(path) == before


def change(path: Path, key: str, work: Callable[[dict], object]) -> None:
    where = "FROM study_user_attributes WHERE key = ?"
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        [text] = file.execute(f"SELECT value_json {where}", (key,)).fetchone()
        plain = json.loads(text)
        work(plain)
        file.execute(
            "UPDATE study_user_attributes SET value_json = ? WHERE key = ?", (json.dumps(plain), key)
        )


def with_right_checksum(path: Path, number: int, training: Training) -> None:
    with Ledger.open(path) as ledger:
        ledger.add_trainings(number, {9: training})


def test_a_flipped_bit_is_one_line(path: Path) -> None:
    key = "hebbevo:confirmation:0:0"
    change(path, key, lambda plain: plain["trainings"][0].update(accuracy=0.34))
    with pytest.raises(StudyError, match=r"is damaged.*confirmation 0 0 is not as recorded") as error:
        hebbevo.open_study(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("training", "problem"),
    [
        (Training(role=Role.DENSE, trial=-1, replicate=0, epochs=1), "trial is not a whole number"),
        (Training(role=Role.DENSE, trial=1, replicate=0, epochs=1, test=1.5), "test is not a number from"),
        (Training(role="other", trial=1, replicate=0, epochs=1), "role is not one of member"),
        (Training(role=Role.DENSE, trial=1, replicate=0, epochs=1, halves=(0.5,)), "halves is not two"),
    ],
)
def test_a_training_that_cannot_be_is_one_line(path: Path, training: Training, problem: str) -> None:
    with_right_checksum(path, 0, training)
    with pytest.raises(StudyError, match=f"is damaged.*confirmation 0: training 9: {problem}"):
        confirmations(path)


def test_a_confirmation_that_lacks_trainings_is_one_line(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.close_confirmation(0, 5)
    with pytest.raises(StudyError, match="confirmation 0: trainings are missing"):
        confirmations(path)


def test_a_confirmation_without_its_request_is_one_line(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute("DELETE FROM study_user_attributes WHERE key = 'hebbevo:confirmation:0:request'")
    with pytest.raises(StudyError, match="confirmation 0 lacks what it is to find out"):
        confirmations(path)


def test_the_file_stays_a_study_of_optuna(path: Path) -> None:
    storage, study_id = StudyFile(path).open()
    try:
        assert storage.get_n_trials(study_id) == 0
    finally:
        storage.engine.dispose()


def test_a_confirmation_is_kept_in_a_database_and_in_a_copy_of_it(place, tmp_path: Path) -> None:
    store = place()
    with Ledger.create(store, SPEC, FACTS) as ledger, store.locked():
        ledger.open_confirmation(0, REQUEST)
        ledger.add_trainings(0, MEMBERS)
        ledger.close_confirmation(0, 2)
    expected = [ConfirmationRecord(0, REQUEST, MEMBERS, True)]
    with Ledger.open(place()) as ledger:
        assert ledger.confirmations() == expected
        write(StudyFile(tmp_path / "copy.db"), SPEC, FACTS, [], ledger.confirmations())
    assert confirmations(tmp_path / "copy.db") == expected
