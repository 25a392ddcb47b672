"""Where a study lives: a file, or a database that a team shares (docs/explanation/decisions/0006-databases.md)."""

from __future__ import annotations

from pathlib import Path

from hebbevo.study.storage.database import StudyDatabase
from hebbevo.study.storage.file import StudyFile
from hebbevo.study.storage.store import Store


def find_store(study: str | Path, storage: str | None = None) -> Store:
    """The place of a study: a file or, with ``storage``, a database where ``study`` is its name.

    Raises:
        StudyError: there can be no such place.
    """
    return StudyFile(Path(study)) if storage is None else StudyDatabase(storage, str(study))


__all__ = ["Store", "StudyDatabase", "StudyFile", "find_store"]
