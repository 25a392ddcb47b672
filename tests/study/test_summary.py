"""The list of studies: what it shows is what whole studies say."""

import contextlib
import math
import shutil
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from hebbevo.errors import StudyError
from hebbevo.study.ledger import Generation, Ledger, Record
from hebbevo.study.storage import StudyFile
from hebbevo.study.summary import State, studies, summary_of
from hebbevo.study.view import open_study
from hebbevo.training.trial_details import EarlyStop
from tests.study.comparison.conftest import made_up
from tests.study.conftest import another_process, result, uses_fork

EPOCHS = {"accuracy_per_epoch": [0.4, 0.7, 0.8, 0.85], "survivors_per_epoch": [100.0, 40.0, 40.0, 12.0]}
STOP = EarlyStop(4, None, "beaten")
RESULTS = [
    result(0, (0.9, 12.0), **EPOCHS),
    result(1, None, failure="diverged"),
    result(2, None, stopped=STOP, **EPOCHS | {"survivors_per_epoch": [100.0, 90.0, 6.0, 5.0]}),
    result(3, (0.9, 12.0), copy_of=0, **EPOCHS),
    result(4, (0.95, 80.0)),
    None,
]


def write(path: Path, results=RESULTS, total=6, **given) -> Path:
    """Write a study with these results; of a running trial, ``None``."""
    records = [Record(n, {"rate": 1e-4 * (n + 1)}, each) for n, each in enumerate(results)]
    generations = (Generation(0, total, 0.0, tuple(records)),) if records else ()
    return replace(made_up([], path, **given), recorded=generations).write()


def row_of(path: Path) -> dict:
    return vars(summary_of(StudyFile(path)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with studies of many kinds, and with files that are none."""
    folder = tmp_path_factory.mktemp("studies")
    write(folder / "some.db")
    write(folder / "whole.db", RESULTS[:-1], total=5, confirmed={0: [0.9, 0.91]})
    write(folder / "limits.db", settings={"constraints": {"survivors": {"min": 10, "max": 50}}})
    write(folder / "failed.db", [replace(RESULTS[1], number=0)], total=3)
    write(folder / "empty.db", [])
    shutil.copy(folder / "whole.db", folder / "renamed")
    shutil.copy(folder / "whole.db", folder / ".hidden.db")
    whole = (folder / "whole.db").read_bytes()
    (folder / "cut.db").write_bytes(whole[: len(whole) // 2])
    (folder / "header.db").write_bytes(b"\0" * 16 + whole[16:])
    (folder / "nothing.db").touch()
    (folder / "notes.txt").write_text("hebbevo:spec")
    (folder / "text.db").write_text("no study")
    with contextlib.closing(sqlite3.connect(folder / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    (folder / "whole-report").mkdir()
    return folder


@pytest.fixture(scope="module")
def table(folder) -> pd.DataFrame:
    found = studies(folder)
    found["study"] = [Path(study).name for study in found["study"]]
    return found.set_index("study")


def test_studies_are_listed_by_name_and_other_files_are_not(table):
    assert table.index.to_list() == [
        "cut.db",
        "empty.db",
        "failed.db",
        "header.db",
        "limits.db",
        "renamed",
        "some.db",
        "whole.db",
    ]


def test_every_study_has_its_state(table):
    assert table["state"].to_dict() == {
        "cut.db": "damaged",
        "empty.db": "stopped",
        "failed.db": "failed",
        "header.db": "damaged",
        "limits.db": "stopped",
        "renamed": "complete",
        "some.db": "stopped",
        "whole.db": "complete",
    }
    assert table["confirmed"]["whole.db"] == table["confirmed"]["renamed"] == "yes"
    assert table["confirmed"]["some.db"] == "no"


@pytest.mark.parametrize("name", ["some.db", "whole.db", "limits.db", "failed.db", "empty.db"])
def test_a_line_says_what_the_whole_study_says(folder, table, name):
    line, study = table.loc[name], open_study(folder / name)
    front = study.front()
    assert line["trials"] == (study.trials()["state"] != "running").sum()
    assert (line["total"], line["front"]) == (study.total, len(front))
    assert line["hypervolume"] == pytest.approx(study.hypervolume())
    if front.empty:
        assert math.isnan(line["best_accuracy"]) and math.isnan(line["survivors"])
    else:
        best = front.loc[front["accuracy"].idxmax()]
        assert (line["best_accuracy"], line["survivors"]) == (best["accuracy"], best["survivors"])


def test_a_damaged_study_is_one_line_with_its_reason(table):
    for name in ("cut.db", "header.db"):
        reason = table["remark"][name]
        assert reason and "\n" not in reason and name not in reason
    assert table["remark"]["header.db"] == "is not a study file"
    assert table["remark"].drop(["cut.db", "header.db"]).eq("").all()


def test_the_last_result_has_its_time(table):
    last = table["last_result"]["whole.db"]
    assert timedelta(0) <= datetime.now(UTC) - last < timedelta(minutes=10)
    assert pd.isna(table["last_result"]["empty.db"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE trial_user_attributes SET value_json = '[1, 2' WHERE key = 'accuracy_per_epoch'", "damaged"),
        ("UPDATE trial_user_attributes SET value_json = '[0.1]' WHERE key = 'accuracy_per_epoch'", "epochs"),
        ("UPDATE trial_values SET value = -1 WHERE objective = 1", "no such number"),
        ("DELETE FROM trial_values WHERE objective = 0", "lacks accuracy or survivors"),
        ("UPDATE study_user_attributes SET value_json = '7' WHERE key = 'hebbevo:facts'", "no mapping"),
        ("UPDATE study_user_attributes SET value_json = '{}' WHERE key = 'hebbevo:spec'", ""),
        ("DELETE FROM study_user_attributes WHERE key = 'hebbevo:facts'", "hebbevo:facts"),
        ("DROP TABLE trials", "trials"),
    ],
)
def test_what_cannot_be_read_is_damaged_and_not_a_crash(folder, tmp_path, change, reason):
    path = tmp_path / "study.db"
    shutil.copy(folder / "whole.db", path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(change)
    connection.close()
    found = row_of(path)
    assert found["state"] is State.DAMAGED
    assert found["remark"] and reason in found["remark"] and "\n" not in found["remark"]


def hold(path, parent):
    with StudyFile(path).locked():
        parent.send("locked")
        parent.recv()


@uses_fork
def test_a_study_is_running_while_a_process_has_locked_it(folder, tmp_path):
    import multiprocessing

    path = tmp_path / "study.db"
    shutil.copy(folder / "some.db", path)
    here, there = multiprocessing.Pipe()
    with another_process(hold, path, there):
        assert here.recv() == "locked"
        found = row_of(path)
        assert found["state"] is State.RUNNING
        assert "has been searching it since" in found["remark"]
        with Ledger.open(path) as ledger:  # looking at it disturbs nothing
            assert ledger.generations()
    assert row_of(path)["state"] is State.STOPPED  # killed: the lock has ended with it


def test_a_folder_without_studies_is_an_empty_table(tmp_path):
    assert studies(tmp_path).empty
    assert "hypervolume" in studies(tmp_path).columns


def test_a_folder_that_is_not_there_is_an_error_of_one_line(tmp_path):
    with pytest.raises(StudyError, match=r"no such folder; write one that has studies$"):
        studies(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="cannot be read"):
        studies(tmp_path / "file")
