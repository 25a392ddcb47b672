"""Where a study lives: a file, or a database that a team shares (docs/decisions/0006-databases.md)."""

from __future__ import annotations

from pathlib import Path

from hebbevo.stores.database import StudyDatabase
from hebbevo.stores.file import StudyFile
from hebbevo.stores.store import Store


def find(study: str | Path, storage: str | None = None) -> Store:
    """The place of a study: a file or, with ``storage``, a database where ``study`` is its name.

    Raises:
        StudyError: there can be no such place.
    """
    return StudyFile(Path(study)) if storage is None else StudyDatabase(storage, str(study))


__all__ = ["Store", "StudyDatabase", "StudyFile", "find"]
