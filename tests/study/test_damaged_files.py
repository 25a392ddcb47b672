"""Damaged and hostile study files: each gives the right answer or one line, never another number."""

import contextlib
import json
import random
import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

import hebbevo
from hebbevo.errors import HebbevoError, StudyError
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Ledger
from hebbevo.study.storage import StudyFile
from hebbevo.study.validation import ATTEMPT, DETAILS, FACTS
from hebbevo.training.trial_details import TrialDetails
from tests.study.conftest import (
    CRASHED,
    GENOMES,
    create,
    refused,
    result,
    without_checksums,
)

WHOLE = StudyFacts(versions={"python": "3"}, neurons=20, chance=0.1, classes=("a", "b"), shape=(1, 8, 8))


def fill(path: Path) -> None:
    """Write a study that has a trial of each state and every kind of attribute."""
    create(path, facts=WHOLE)
    with StudyFile(path).locked(), Ledger.open(path) as ledger:
        for number in range(2):
            ledger.open_generation(number, 28, number / 4, GENOMES)
            ledger.add_attempt([7 * number], CRASHED)
        epochs = {"accuracy_per_epoch": [0.25, 0.375], "survivors_per_epoch": [9.0, 7.5], "neurons": 20}
        done = [
            result(n, (0.375 + n / 64, 7.5 + n), replicates=[{"accuracy": 0.375, "survivors": 7.5}], **epochs)
            for n in range(12)
        ]
        ledger.close_cohort(done)
        ledger.close_cohort([result(12, None, failure="diverged", notes=["one", "two"])])


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("intact") / "run.db"
    fill(path)
    return path


@pytest.fixture(scope="module")
def right(intact: Path) -> hebbevo.Study:
    return hebbevo.open_study(intact)


def damage(content: bytearray, rng: random.Random) -> None:
    """Flip bits, overwrite bytes, cut the end, or repeat a part, as disks and copies do."""
    kind = rng.choice(["bit", "bit", "bit", "bytes", "cut", "zeros", "swap"])
    place = rng.randrange(len(content))
    match kind:
        case "bit":
            for _ in range(rng.choice([1, 1, 1, 4, 16])):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        case "bytes":
            content[place : place + 8] = rng.randbytes(len(content[place : place + 8]))
        case "cut":
            del content[place:]
        case "zeros":
            length = min(512, len(content) - place)
            content[place : place + length] = bytes(length)
        case "swap":
            one, two = (4096 * rng.randrange(len(content) // 4096) for _ in range(2))
            content[one : one + 4096], content[two : two + 4096] = (
                content[two : two + 4096],
                content[one : one + 4096],
            )


def used_places(path: Path) -> list[int]:
    """The places of a file that hold something: the rest is empty space of pages."""
    return [place for place, byte in enumerate(path.read_bytes()) if byte]


def outcome(path: Path, right: hebbevo.Study) -> str:
    """``right``, or the refusal; an error of another kind, or another number, is raised."""
    try:
        study = hebbevo.open_study(path)
    except HebbevoError as error:
        assert isinstance(error, StudyError)
        assert len(str(error).splitlines()) == 1 and str(path) in str(error)
        return "refused"
    for table in ("trials", "points", "front"):
        pd.testing.assert_frame_equal(getattr(study, table)(), getattr(right, table)())
    assert (study.hypervolume(), study.total, study.settings) == (
        right.hypervolume(),
        right.total,
        right.settings,
    )
    assert (study.neurons, study.chance, study.versions) == (right.neurons, right.chance, right.versions)
    return "right"


def test_a_damaged_file_gives_the_recorded_numbers_or_one_line(intact, right, tmp_path):
    rng = random.Random(20)
    path, seen = tmp_path / "run.db", {"right": 0, "refused": 0}
    original, places = intact.read_bytes(), used_places(intact)
    for number in range(250):
        content = bytearray(original)
        if number % 2:
            content[rng.choice(places)] ^= 1 << rng.randrange(8)
        else:
            damage(content, rng)
        path.write_bytes(content)
        seen[outcome(path, right)] += 1
        for beside in tmp_path.glob("run.db-*"):
            beside.unlink()
    assert seen["right"] > 25 and seen["refused"] > 75


def cells(path: Path) -> list[tuple[str, str, int]]:
    """Every cell that a study reads, as table, column and row."""
    columns = {
        "study_user_attributes": ["key", "value_json"],
        "trials": ["number", "state", "study_id"],
        "trial_params": ["param_name", "param_value", "trial_id"],
        "trial_values": ["objective", "value", "value_type", "trial_id"],
        "trial_user_attributes": ["key", "value_json", "trial_id"],
        "trial_system_attributes": ["key", "value_json", "trial_id"],
    }
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [
            (table, column, row)
            for table, names in columns.items()
            for column in names
            for (row,) in connection.execute(f"SELECT rowid FROM {table}")
        ]


HOSTILE = [
    None,
    -1,
    0,
    1,
    2**62,
    0.5,
    -0.25,
    1e308,
    9e999,
    "",
    "x",
    "null",
    "[]",
    "{}",
    "NaN",
    '"\\ud800"',
    "[" * 5000,
    "1" * 5000,
    b"\xff\xfe",
    '{"total": "x"}',
]


@pytest.mark.parametrize("checksums", [True, False], ids=["with checksums", "of an earlier version"])
def test_a_file_with_any_cell_replaced_is_read_or_refused_in_one_line(intact, tmp_path, checksums):
    rng = random.Random(21)
    source = tmp_path / "source.db"
    shutil.copy(intact, source)
    if not checksums:
        without_checksums(source)
    right = hebbevo.open_study(source)
    path, every, refusals = tmp_path / "run.db", cells(source), 0
    for _ in range(75):
        table, column, row = rng.choice(every)
        shutil.copy(source, path)
        with contextlib.closing(sqlite3.connect(path)) as connection, contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA ignore_check_constraints=ON")
            connection.execute(
                f"UPDATE OR REPLACE {table} SET {column} = ? WHERE rowid = ?", (rng.choice(HOSTILE), row)
            )
            connection.commit()
        if checksums:
            refusals += outcome(path, right) == "refused"
            continue
        try:  # nothing shows that a number of the right kind was another one, but no error is a traceback
            study = hebbevo.open_study(path)
        except StudyError as error:
            assert len(str(error).splitlines()) == 1
            refusals += 1
        else:
            assert study.front().accuracy.between(0, 1).all()
            assert study.hypervolume() >= 0
    assert refusals > 25


def test_every_command_refuses_a_damaged_file_in_one_line_with_exit_code_2(intact, run):
    path = Path("run.db")
    for value in ('"text"', "[1, 2]", "{}", '{"total": -5}'):
        shutil.copy(intact, path)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "UPDATE study_user_attributes SET value_json = ? WHERE key = 'hebbevo:generation:1'", (value,)
            )
            connection.commit()
        for command in (["front"], ["report"], ["resume", "--allow-code"], ["copy", "new.db"]):
            code, out, err = run(command[0], path, *command[1:])
            assert (code, out) == (2, "")
            if command[0] != "resume":  # which first names all that is wrong with this made-up space
                assert err.startswith("run.db: is damaged") and err.count("\n") == 1
    assert not Path("new.db").exists()


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TRIGGER t AFTER UPDATE ON trials BEGIN DELETE FROM trials; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE VIRTUAL TABLE v USING rtree(a, b, c)",
        "INSERT INTO sqlite_master VALUES ('Trigger', 't', 'trials', 0,"
        " 'CREATE TRIGGER t AFTER UPDATE ON trials BEGIN DELETE FROM trials; END')",
    ],
)
def test_a_file_with_code_in_it_is_refused(intact, tmp_path, made):
    path = Path(shutil.copy(intact, tmp_path / "run.db"))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(made)
        connection.commit()
    with refused("a trigger, a view or a virtual table"):
        hebbevo.open_study(path)


def test_a_file_without_one_of_its_trials_or_generations_is_refused(intact, tmp_path):
    path = tmp_path / "run.db"
    for lost in (
        "DELETE FROM trials WHERE number = 5",
        "DELETE FROM trials WHERE number >= 7",
        "DELETE FROM trial_values WHERE trial_id = 3",
        "DELETE FROM trial_user_attributes WHERE trial_id = 3 AND key = 'accuracy_per_epoch'",
        "UPDATE trials SET number = 99 WHERE number = 5",
        "UPDATE trials SET state = 'PRUNED' WHERE number = 5",
        "UPDATE trials SET state = 'RUNNING' WHERE number = 5",
        "UPDATE trials SET state = 'WAITING' WHERE number = 12",
        "DELETE FROM trial_system_attributes WHERE trial_id = 3 AND key = 'hebbevo:checksum'",
        "DELETE FROM study_user_attributes WHERE key = 'hebbevo:checksum'",
        "DELETE FROM trial_user_attributes WHERE trial_id = 1 AND key = 'attempts'",
        "UPDATE study_user_attributes SET value_json = json_remove(value_json, '$.checksum')"
        " WHERE key = 'hebbevo:generation:1'",
    ):
        shutil.copy(intact, path)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(lost)
            connection.commit()
        with refused("is damaged"):
            hebbevo.open_study(path)


def tables_of(path: Path) -> dict[str, list[int]]:
    """The row ids of every table of a study."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: [row for (row,) in connection.execute(f"SELECT rowid FROM {name} ORDER BY rowid")]
            for (name,) in tables
        }


def test_a_file_without_any_one_row_gives_the_recorded_numbers_or_is_refused(intact, right, tmp_path):
    rng, path = random.Random(22), tmp_path / "run.db"
    for table, rows in tables_of(intact).items():
        for row in rng.sample(rows, min(len(rows), 12)):
            shutil.copy(intact, path)
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
                connection.commit()
            outcome(path, right)


def test_a_result_that_is_recorded_while_the_study_is_read_is_no_damage(intact, tmp_path):
    path = Path(shutil.copy(intact, tmp_path / "run.db"))
    with Ledger.open(path) as ledger, Ledger.open(path) as writer:
        seen = []

        def close_after_the_states(_: object, cursor: object, statement: str, *__: object) -> None:
            if "FROM trial_params" in statement and not seen:
                seen.append(statement)
                writer.close_cohort([result(13, (0.5, 1.0))])

        event.listen(Engine, "before_cursor_execute", close_after_the_states)
        try:
            records = ledger.generations()[1].records
        finally:
            event.remove(Engine, "before_cursor_execute", close_after_the_states)
    assert seen and records[-1].number == 13 and records[-1].result is None


def test_the_checks_know_every_entry_that_is_recorded():
    assert set(DETAILS) == set(TrialDetails.__dataclass_fields__)
    assert set(FACTS) == set(StudyFacts.__dataclass_fields__)
    assert set(ATTEMPT) == set(CRASHED.to_json())
    assert set(json.loads(json.dumps(WHOLE.to_json()))) == set(FACTS)
