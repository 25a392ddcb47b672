"""Which files of a folder are studies."""

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
        "other.db": MAGIC + b"other",
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


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path):
    with pytest.raises(StudyError, match="no such folder"):
        studies_of(tmp_path / "none")
