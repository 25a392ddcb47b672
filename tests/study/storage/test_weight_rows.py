"""Kept weights in every place of a study: added, deleted and read as they were, or refused."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from hebbevo.study.copying import copy, write
from hebbevo.study.kept_network import KeptNetwork
from hebbevo.study.ledger import Ledger
from hebbevo.study.storage import StudyDatabase, StudyFile
from hebbevo.study.storage.weight_rows import NAME
from tests.study.conftest import FACTS, GENOMES, SPEC, create, open_with_storage, refused, result
from tests.study.storage.conftest import writing

LARGE = bytes(range(256)) * 400  # beyond MySQL's BLOB
FIRST = KeptNetwork(trial=0, epoch=2, replicate=1, accuracy=0.1 + 0.2, survivors=0, weights=b"\0\xff")
SECOND = KeptNetwork(trial=1, epoch=20, replicate=0, accuracy=1 / 3, survivors=2**31 - 1, weights=LARGE)
BOTH = {FIRST.member, SECOND.member}


def close(ledger: Ledger, number: int, kept: list[KeptNetwork], front: set[tuple[int, int]]) -> None:
    done = result(number, (0.5, 1.0), seconds=1.0)
    ledger.close_cohort([done], kept, front)


@pytest.fixture
def store(place):
    store = place()
    create(store)
    with writing(store) as ledger:
        ledger.prepare_weights()
        ledger.open_generation(0, 8, 0.0, GENOMES)
        close(ledger, 0, [FIRST, replace(FIRST, epoch=1)], {FIRST.member})
        close(ledger, 1, [SECOND], BOTH)
    return place()


def kept(store) -> list[KeptNetwork]:
    with Ledger.open(store) as ledger:
        return ledger.kept_networks()


def test_networks_of_the_front_come_back_and_others_are_not_kept(store) -> None:
    assert kept(store) == [FIRST, SECOND]
    with Ledger.open(store) as ledger:
        assert ledger.kept_networks(SECOND.member) == [SECOND]
        assert ledger.kept_networks((1, 2)) == []


def test_what_leaves_the_front_is_deleted_with_the_results_that_beat_it(store) -> None:
    with writing(store) as ledger:
        close(ledger, 2, [], {SECOND.member, (2, 20)})
    assert kept(store) == [SECOND]
    with writing(store) as ledger:
        close(ledger, 3, [replace(SECOND, weights=b"other")], BOTH)
    assert kept(store) == [SECOND]  # what is recorded stays


def test_a_transaction_that_fails_changes_neither_results_nor_weights(store, monkeypatch) -> None:
    broken = replace(FIRST, trial=2, weights=None)
    with writing(store) as ledger, pytest.raises(TypeError):
        close(ledger, 2, [broken], {broken.member})
    assert kept(store) == [FIRST, SECOND]
    with Ledger.open(store) as ledger:
        assert ledger.generations()[0].records[2].result is None


def test_a_study_that_keeps_none_has_no_table_and_reads_as_one_without(tmp_path: Path) -> None:
    store = StudyFile(tmp_path / "s.db")
    create(store)
    assert kept(store) == []
    with closing(sqlite3.connect(store.path)) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [NAME]).fetchall()


def test_studies_in_one_database_have_weights_of_their_own(url: str, name: str) -> None:
    stores = [StudyDatabase(url, f"{name}-{number}") for number in range(2)]
    for store, own in zip(stores, (FIRST, replace(FIRST, weights=b"second")), strict=True):
        create(store)
        with writing(store) as ledger:
            ledger.prepare_weights()
            ledger.open_generation(0, 8, 0.0, GENOMES)
            close(ledger, 0, [own], {own.member})
    assert [kept(store)[0].weights for store in stores] == [FIRST.weights, b"second"]


def test_a_dashboard_that_deletes_a_study_in_a_database_deletes_its_weights(url: str, name: str) -> None:
    store = StudyDatabase(url, name)
    create(store)
    with writing(store) as ledger:
        ledger.prepare_weights()
        ledger.open_generation(0, 8, 0.0, GENOMES)
        close(ledger, 0, [FIRST], {FIRST.member})
    opened = open_with_storage(store)
    with opened.ledger:
        opened.storage.delete_study(opened.study_id)
        with opened.storage.engine.connect() as connection:
            left = text(f"SELECT count(*) FROM {NAME} WHERE study_id = :own")
            assert connection.execute(left, {"own": opened.study_id}).scalar_one() == 0


def test_a_copy_from_any_place_has_the_weights(store, tmp_path: Path) -> None:
    target = StudyFile(tmp_path / "copy.db")
    if isinstance(store, StudyFile):
        copy(store.path, target.path)
    else:
        with Ledger.open(store) as ledger:
            write(target, SPEC, FACTS, ledger.generations(), (), ledger.kept_networks())
    assert kept(target) == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("weights = x'00'", "are not as recorded: their checksum differs"),
        ("accuracy = 0.9", "are not as recorded: their checksum differs"),
        ("survivors = 'many'", "have figures that are no numbers"),
        ("replicate = -1", "have figures that are no numbers"),
        ("weights = 'text'", "are no bytes"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, change: str, problem: str) -> None:
    store = StudyFile(tmp_path / "s.db")
    create(store)
    with Ledger.open(store) as ledger:
        ledger.add_kept_networks([FIRST])
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(f"UPDATE {NAME} SET {change}")
    with refused("the kept weights of trial 0", problem), Ledger.open(store) as ledger:
        ledger.kept_networks()
