"""A study file: how it is made and locked, and every file and folder that cannot be used."""

import contextlib
import json
import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import pytest
from sqlalchemy import event

from hebbevo.errors import StudyError
from hebbevo.study.ledger import Ledger, Record
from hebbevo.study.storage import StudyFile
from hebbevo.study.view import open_study
from tests.study.conftest import (
    FACTS,
    GENOMES,
    SPEC,
    another_process,
    create,
    die_at_commit,
    open_with_storage,
    refused,
    reread,
    result,
    uses_fork,
    without_checksums,
)


def locked(path: Path):
    return StudyFile(path).locked()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_no_log_is_beside_an_open_file(study_file):
    with locked(study_file), Ledger.open(study_file) as ledger:
        ledger.open_generation(0, 500, 0.0, GENOMES)
        assert {file.name for file in study_file.parent.iterdir()} == {"run.db", ".run.db.lock"}


@pytest.mark.parametrize("name", ["a b#ä中.db", "what?50%.db", "{x}%20.db", "[a]*.db", "file:x.db"])
def test_any_path_is_possible(tmp_path, name):
    path = tmp_path / f"folder of {name}" / name
    with Ledger.create(path, SPEC, FACTS) as ledger, locked(path):
        ledger.open_generation(0, 4, 0.0, GENOMES[:1])
    assert reread(path)[0].records == (Record(0, GENOMES[0], None),)
    assert {file.name for file in path.parent.iterdir()} == {name, f".{name}.lock"}
    assert len(open_study(path).trials()) == 1


# --- creation ---


@uses_fork
def test_a_kill_during_creation_leaves_no_study_and_the_next_creation_cleans_up(path):
    for count in (1, 2, 4, 6):
        with another_process(die_at_commit, count, lambda: create(path)) as process:
            process.join(30)
            assert process.exitcode == -signal.SIGKILL
        assert not path.exists()
    assert list(path.parent.iterdir())
    with Ledger.create(path, SPEC, FACTS) as ledger:
        assert (ledger.spec, ledger.generations()) == (SPEC, [])
    assert {file.name for file in path.parent.iterdir()} == {"run.db", ".run.db.lock"}


@pytest.mark.parametrize(
    ("place", "error", "seen"),
    [
        ("os.replace", OSError(28, "No space left on device"), StudyError),
        (
            "hebbevo.study.storage.file.add_study",
            sqlite3.OperationalError("database or disk is full"),
            StudyError,
        ),
        ("hebbevo.study.storage.file.add_study", KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_an_error_during_creation_leaves_nothing(path, monkeypatch, place, error, seen):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(place, fail)
    neighbour = path.with_name(".b.db.new")
    path.parent.mkdir()
    neighbour.touch()
    with pytest.raises(seen):
        create(path.with_name("[ab].db"))
    assert {file.name for file in path.parent.iterdir()} == {neighbour.name, ".[ab].db.lock"}


# --- the lock ---


@uses_fork
def test_one_process_locks_a_study_until_the_process_ends_even_if_it_is_killed(path):
    here, there = multiprocessing.get_context("fork").Pipe()

    def lock() -> None:
        with locked(path):
            there.send("locked")
            time.sleep(60)

    with another_process(lock) as process:
        assert here.poll(30)
        with refused(str(path), f"(process {process.pid}) has been searching it since 20"), locked(path):
            pytest.fail("locked twice")
    with locked(path):
        pass


def test_a_lock_ends_with_its_block_and_with_an_error_in_it(path):
    with contextlib.suppress(ZeroDivisionError), locked(path):
        raise ZeroDivisionError
    with locked(path), refused(f"(process {os.getpid()})"), locked(path):
        pytest.fail("locked twice")
    with locked(path):
        pass


def test_a_message_does_not_name_a_process_that_was_killed(path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with locked(path):
        lock = path.with_name(f".{path.name}.lock")
        identity = json.loads(lock.read_text())
        assert identity["pid"] == os.getpid()
        for stale in (
            json.dumps({**identity, "pid": dead.pid}),
            json.dumps({**identity, "host": "other"}),
            "{}",
            "",
            "1",
        ):
            lock.write_text(stale)  # as in the moment before the process with the lock has written its own
            with refused(f"{path}: another search is writing to it; wait"), locked(path):
                pytest.fail("locked twice")
    assert lock.read_text() == "{}"


# --- files that are no study ---


def study_of_another_program(path: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    study = optuna.create_study(storage=storage, direction="maximize")
    study.add_trial(optuna.create_trial(value=1.0))
    storage.engine.dispose()


def another_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
        connection.commit()


def another_database_in_wal_mode(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE cats (name TEXT)")
        connection.commit()


def cut_short(path: Path, part: float) -> None:
    with Ledger.create(path, SPEC, FACTS) as ledger:
        ledger.open_generation(0, 500, 0.0, GENOMES)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * part))


def by_another_optuna(path: Path) -> None:
    create(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99'")
        connection.commit()


def by_another_hebbevo(path: Path) -> None:
    create(path)
    without_checksums(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE study_user_attributes SET value_json = '{}' WHERE key = 'hebbevo:spec'")
        connection.commit()


NO_STUDY = {
    "missing": (lambda _: None, "no such study"),
    "missing folder": (lambda path: path.parent.rmdir(), "no such study"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "pipe": (os.mkfifo, "no ordinary file"),
    "empty": (lambda path: path.touch(), "not a study file"),
    "text": (lambda path: path.write_text("version: 1\nname: x\n"), "not a study file"),
    "magic": (
        lambda path: path.write_bytes(b"SQLite format 3\0" + b"junk" * 999),
        "cannot be read as a study",
    ),
    "cut to a tenth": (lambda path: cut_short(path, 0.1), "cannot be read as a study"),
    "cut to a half": (lambda path: cut_short(path, 0.5), "cannot be read as a study"),
    "cut a little": (lambda path: cut_short(path, 0.999), "is damaged"),
    "another database": (another_database, "cannot be read as a study (no such table"),
    "another, in WAL mode": (another_database_in_wal_mode, "cannot be read as a study (no such table"),
    "a study of another program": (study_of_another_program, "hebbevo did not make it"),
    "another Optuna": (by_another_optuna, "was made with another Optuna"),
    "another hebbevo": (by_another_hebbevo, "its settings cannot be read"),
}


@pytest.mark.parametrize("what", NO_STUDY)
def test_a_file_that_is_no_study_is_refused_in_one_line_and_stays_as_it_is(tmp_path, what):
    make, words = NO_STUDY[what]
    path = tmp_path / "here" / "run.db"
    path.parent.mkdir()
    make(path)
    before, names = contents(tmp_path), sorted(tmp_path.rglob("*"))
    with refused(str(path), words):
        open_study(path)
    assert contents(tmp_path) == before
    assert sorted(tmp_path.rglob("*")) == names


@contextlib.contextmanager
def unprivileged():
    """Act as another user for a while: root may read and write every file."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


@pytest.fixture
def closed_folder():
    """A folder that cannot be written, with a study in it."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders cannot be entered by other users
        folder = Path(name)
        with Ledger.create(folder / "run.db", SPEC, FACTS) as ledger:
            ledger.open_generation(0, 500, 0.0, GENOMES)
        assert len(reread(folder / "run.db")) == 1
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
        yield folder
        folder.chmod(stat.S_IRWXU)


def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(closed_folder):
    before = contents(closed_folder)
    new = closed_folder / "new.db"
    with unprivileged():
        with refused(str(new)):
            create(new)
        with refused(str(new), "cannot be written (Permission denied)"), locked(new):
            pytest.fail("locked")
        deeper = closed_folder / "deeper" / "new.db"
        with refused(str(deeper), "cannot be written (Permission denied)"), locked(deeper):
            pytest.fail("locked")
        with refused("run.db"):
            Ledger.open(closed_folder / "run.db")
    assert contents(closed_folder) == before


def test_a_file_that_cannot_be_read_is_an_error_of_one_line(closed_folder):
    path = closed_folder / "run.db"
    path.chmod(0)
    with unprivileged(), refused(str(path), "cannot be read (Permission denied)"):
        Ledger.open(path)
    path.chmod(stat.S_IRUSR)


def test_a_path_through_a_file_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "run.db"
    with refused(str(path)):
        Ledger.open(path)
    with refused(str(path), "cannot be written"):
        create(path)
    with refused(str(path), "cannot be written"), locked(path):
        pytest.fail("locked")


def test_a_full_disk_is_an_error_of_one_line_and_the_study_continues_afterwards(study_file):
    ledger, storage, _ = open_with_storage(StudyFile(study_file))
    ledger.open_generation(0, 500, 0.0, GENOMES)
    before = reread(study_file)
    storage.engine.dispose()
    long = result(0, (0.5, 1.0), notes=["x" * 100_000])

    def fill(connection: sqlite3.Connection, _: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(storage.engine, "connect", fill)
    with ledger:
        with refused(str(study_file), "database or disk is full", "hebbevo resume"):
            ledger.open_generation(1, 500, 0.0, GENOMES * 20)
        with refused(str(study_file), "database or disk is full", "hebbevo resume"):
            ledger.close_cohort([long])
        assert ledger.generations() == before
    with Ledger.open(study_file) as ledger:
        assert ledger.generations() == before
        ledger.close_cohort([long])
        ledger.open_generation(1, 500, 0.0, GENOMES * 20)
    assert [len(generation.records) for generation in reread(study_file)] == [7, 140]
