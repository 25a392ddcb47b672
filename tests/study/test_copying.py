"""A study file copied at any moment holds what was recorded by then, by ``cp`` and by ``hebbevo copy``."""

import contextlib
import multiprocessing
import random
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

import hebbevo
from hebbevo.study.copying import write
from hebbevo.study.ledger import Generation, Ledger, Record
from hebbevo.study.storage import StudyFile
from tests.study.conftest import (
    CRASHED,
    FACTS,
    FAILED,
    GENOMES,
    SPEC,
    STOPPED,
    another_process,
    assert_whole,
    create,
    records,
    refused,
    reread,
    result,
    uses_fork,
    write_until_killed,
)


def test_after_any_number_of_recorded_cohorts_the_file_alone_holds_exactly_what_is_recorded(
    study_file, tmp_path
):
    rng = random.Random(9)
    expected: list[Record] = []
    with StudyFile(study_file).locked(), Ledger.open(study_file) as ledger:
        for number in range(12):
            expected += ledger.open_generation(number, 500, 0.0, rng.choices(GENOMES, k=rng.randrange(1, 9)))
            open_ = [record.number for record in expected if record.result is None]
            rng.shuffle(open_)
            while open_ and rng.random() < 0.8:
                cohort = [open_.pop() for _ in range(min(len(open_), rng.randrange(1, 4)))]
                done = [result(n, (rng.random(), float(rng.randrange(20))), seconds=1.0) for n in cohort]
                ledger.close_cohort(done)
                for each in done:
                    expected[each.number] = Record(each.number, expected[each.number].genome, each)
                if rng.random() < 0.5:
                    bare = tmp_path / f"{rng.random()}.db"
                    shutil.copyfile(study_file, bare)
                    assert records(reread(bare)) == expected


@uses_fork
def test_after_a_kill_the_file_alone_holds_what_it_holds_with_all_that_is_beside_it(study_file, tmp_path):
    rng = random.Random(0)
    here, there = multiprocessing.get_context("fork").Pipe()
    for number in range(6):
        with another_process(write_until_killed, study_file, there):
            assert here.recv() == "writing"
            time.sleep(0.05 + 0.1 * rng.random())
        if study_file.with_name("run.db-journal").exists():
            continue  # killed within a write, which SQLite takes back when it opens the file
        bare = tmp_path / f"{number}.db"
        shutil.copyfile(study_file, bare)
        assert_whole(reread(bare))
        assert reread(bare) == reread(study_file)


@uses_fork
def test_copies_of_a_study_in_use_are_whole_and_grow(study_file, tmp_path):
    here, there = multiprocessing.get_context("fork").Pipe()
    seen = []
    with another_process(write_until_killed, study_file, there):
        assert here.recv() == "writing"
        for number in range(5):
            found = reread(hebbevo.copy(study_file, tmp_path / f"{number}.db"))
            assert_whole(found)
            seen.append(sum(record.result is not None for record in records(found)))
    assert seen == sorted(seen)


def in_wal_mode(path: Path) -> sqlite3.Connection:
    """Bring a file into the mode of earlier versions; while the connection is open, so is the log."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
    connection.execute("UPDATE studies SET study_name = study_name")
    connection.commit()
    return connection


def test_a_copy_of_a_study_of_an_earlier_version_needs_no_log(study_file, tmp_path):
    with contextlib.closing(in_wal_mode(study_file)):
        assert study_file.with_name("run.db-wal").stat().st_size
        with Ledger.open(study_file) as ledger:
            ledger.open_generation(0, 500, 0.0, GENOMES)
        bare = shutil.copyfile(hebbevo.copy(study_file, tmp_path / "a.db"), tmp_path / "b.db")
        assert reread(bare) == reread(study_file)


def test_a_search_takes_the_log_of_an_earlier_version_into_the_file(study_file, tmp_path):
    with Ledger.open(study_file) as ledger:
        ledger.open_generation(0, 500, 0.0, GENOMES)
    with contextlib.closing(in_wal_mode(study_file)):
        for name in ("", "-wal"):  # as a killed search has left them
            shutil.copyfile(f"{study_file}{name}", f"{tmp_path / 'killed.db'}{name}")
    killed = tmp_path / "killed.db"
    with StudyFile(killed).locked():
        bare = shutil.copyfile(killed, tmp_path / "bare.db")
        assert reread(bare) == reread(killed) == reread(study_file) != []


def test_a_search_that_cannot_take_the_log_in_says_what_stands_in_the_way(study_file):
    with (
        contextlib.closing(in_wal_mode(study_file)) as other,
        refused("another program has it open", "close that program"),
        StudyFile(study_file).locked(),
    ):
        other.execute("SELECT * FROM studies")
        pytest.fail("locked")
    with StudyFile(study_file).locked():
        pass


def test_a_copy_never_replaces_a_file_and_leaves_nothing_behind(study_file, tmp_path):
    target = tmp_path / "there.db"
    target.write_text("mine")
    with refused(str(target), "is there already"):
        hebbevo.copy(study_file, target)
    assert target.read_text() == "mine"
    with refused("no such study"):
        hebbevo.copy(tmp_path / "nothing.db", tmp_path / "new.db")
    with refused("not a study file"):
        hebbevo.copy(target, tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_a_log_without_its_file_is_named(tmp_path, ending):
    path = tmp_path / "run.db"
    lone = tmp_path / f"run.db{ending}"
    lone.write_bytes(b"x" * 100)
    for use in (lambda: hebbevo.open_study(path), lambda: create(path)):
        with refused("run.db: the study file is missing", lone.name, "put the file back"):
            use()
    assert lone.read_bytes() == b"x" * 100
    assert not path.exists()


def test_generations_are_written_to_a_new_file_as_they_were(tmp_path):
    attempts = (CRASHED, CRASHED)
    first = [Record(number, genome, None) for number, genome in enumerate(GENOMES[:4])]
    first[1] = Record(1, GENOMES[1], result(1, (0.25, 3.0), seconds=2.0), attempts)
    first[2] = Record(2, GENOMES[2], FAILED)
    first[3] = Record(3, GENOMES[3], STOPPED)
    second = [Record(7, GENOMES[6], None, attempts)]  # others had the numbers between
    generations = [Generation(0, 9, 0.0, tuple(first)), Generation(1, 12, 1 / 3, tuple(second))]
    write(StudyFile(tmp_path / "new.db"), SPEC, FACTS, generations)
    assert reread(tmp_path / "new.db") == generations
    assert {file.name for file in tmp_path.iterdir()} == {"new.db", ".new.db.lock"}
