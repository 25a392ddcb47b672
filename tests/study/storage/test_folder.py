"""Which files of a folder are studies."""

import contextlib
import sqlite3

import pytest

from hebbevo.errors import StudyError
from hebbevo.study.storage import studies_of
from hebbevo.study.storage.study_tables import SPEC

MAGIC = b"SQLite format 3\0"


def test_a_study_is_a_file_with_the_key_of_settings_that_is_a_database_or_is_named_like_one(tmp_path):
    key = SPEC.encode()
    files = {
        "b.db": MAGIC + key,
        "a.study": MAGIC + b"\0" * 5000 + key,
        "without_header.db": b"\0" * 16 + key,
        "other.db": MAGIC + b"\0" * 200,
        "empty.db": b"",
        "short.db": b"SQL",
        "page.py": key,
        ".a.db.new": MAGIC + key,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "link.db").symlink_to("b.db")
    (tmp_path / "broken.db").symlink_to("nowhere.db")
    found = [store.path.name for store in studies_of(tmp_path)]
    assert found == ["a.study", "b.db", "link.db", "without_header.db"]


@pytest.mark.parametrize("size", [50, 5_000, 40_000, 80_000])
def test_a_study_that_was_cut_is_still_one_and_another_database_is_not(tmp_path, study_file, size):
    (tmp_path / "cut.db").write_bytes(study_file.read_bytes()[:size])
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.commit()
    assert [store.path.name for store in studies_of(tmp_path)] == ["cut.db"]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path):
    with pytest.raises(StudyError, match="no such folder"):
        studies_of(tmp_path / "none")
