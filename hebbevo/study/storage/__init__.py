"""Where a study is stored: a file, or a database that a team shares.

See docs/explanation/decisions/0006-databases.md.
"""

from __future__ import annotations

import os
from pathlib import Path

from hebbevo.errors import StudyError
from hebbevo.paths import expanded
from hebbevo.study.storage.database import StudyDatabase, studies_in
from hebbevo.study.storage.file import StudyFile
from hebbevo.study.storage.folder import studies_of
from hebbevo.study.storage.store import Store


def find_store(study: str | Path, storage: str | None = None) -> Store:
    """Find the place of a study, which need not exist yet.

    Args:
        study: path of the study file or, with ``storage``, the study's name in that database.
        storage: URL of a database.

    Raises:
        StudyError: the URL or the name is not possible, or the driver of the database is missing.
    """
    if not isinstance(study, str | os.PathLike):
        raise StudyError(f"study: {study!r} is of type {type(study).__name__}; write the path of a file")
    if not isinstance(storage, str | None):
        raise StudyError(f"storage: {storage!r} is of type {type(storage).__name__}; write a URL")
    return StudyFile(expanded(study)) if storage is None else StudyDatabase(storage, str(study))


__all__ = ["Store", "StudyDatabase", "StudyFile", "find_store", "studies_in", "studies_of"]
