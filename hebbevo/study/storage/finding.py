"""Studies by the names that users write: with or without folder and suffix."""

from __future__ import annotations

import os
from pathlib import Path

from hebbevo.errors import StudyError
from hebbevo.paths import expanded
from hebbevo.study.storage.database import StudyDatabase
from hebbevo.study.storage.file import StudyFile
from hebbevo.study.storage.folder import is_study
from hebbevo.study.storage.store import Store
from hebbevo.study.study_names import STUDIES, SUFFIX, closest_studies


def find_study(study: str | Path, storage: str | None = None) -> Store:
    """Find a study that exists.

    Args:
        study: path of the study file, which may lack the folder ``studies`` and the suffix; with ``storage``
            the study's name in that database.
        storage: URL of a database.

    Raises:
        StudyError: there is no such study, or more than one; the URL or the name is not possible, or the
            driver of the database is missing.
    """
    _require_texts(study, storage)
    if storage is not None:
        return StudyDatabase(storage, str(study))
    path = expanded(study)
    if _is_there(path):
        return StudyFile(path)
    if found := the_only(path):
        return StudyFile(found)
    if not os.path.isdir(path):  # a folder is no study, which reading it says
        StudyFile(path).refuse_lone_journals()
        raise StudyError(f"{path}: no such study{_advice(path)}")
    return StudyFile(path)


def find_place(study: str | Path, storage: str | None = None) -> Store:
    """Find the place of a study that need not exist yet.

    A study that exists may lack its suffix, and the folder ``studies``. A new one with neither suffix nor
    folder is in that folder.

    Args:
        study: path of the study file; with ``storage`` the study's name in that database.
        storage: URL of a database.

    Raises:
        StudyError: there is more than one such study; the URL or the name is not possible, or the driver of
            the database is missing.
    """
    _require_texts(study, storage)
    if storage is not None:
        return StudyDatabase(storage, str(study))
    path = expanded(study)
    if path.suffix or _is_there(path):
        return StudyFile(path)
    if found := the_only(path):
        return StudyFile(found)
    is_bare = len(path.parts) == 1 and not os.path.isdir(path) and path.name != os.pardir
    return StudyFile(STUDIES / f"{path}{SUFFIX}" if is_bare else path)


def the_only(path: Path) -> Path | None:
    """The one study that a path without folder or suffix stands for; ``None`` if there is none.

    Raises:
        StudyError: there are several.
    """
    found = [each for folder in _folders(path) for each in _named(folder, path.name)]
    if len(found) > 1:
        raise StudyError(f"{path}: may be {' or '.join(map(str, found))}; write one of them")
    return found[0] if found else None


def _require_texts(study: object, storage: object) -> None:
    if not isinstance(study, str | os.PathLike):
        raise StudyError(f"study: {study!r} is of type {type(study).__name__}; write the path of a file")
    if not isinstance(storage, str | None):
        raise StudyError(f"storage: {storage!r} is of type {type(storage).__name__}; write a URL")


def _is_there(path: Path) -> bool:
    """Whether a path is that of a file, or of a link that leads nowhere."""
    return os.path.lexists(path) and not os.path.isdir(path)


def _folders(path: Path) -> list[Path]:
    """Where a study may be: in the folder that is written, or else here and in the folder of studies."""
    return [path.parent, STUDIES] if len(path.parts) == 1 else [path.parent]


def _named(folder: Path, name: str) -> list[Path]:
    """The files in a folder that have a name, or have it before a suffix; of the latter rather studies."""
    if not name:
        return []
    files = [each for each in _files(folder) if name in (each.name, each.stem)]
    if whole := [each for each in files if each.name == name]:
        return whole
    studies = [each for each in files if is_study(each)]
    return studies or [each for each in files if each.suffix == SUFFIX]


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if each.name[0] != "." and each.is_file())
    except OSError:
        return []


def _advice(path: Path) -> str:
    """What to write in place of a path where no study is."""
    folders = _folders(path)
    found = [str(each) for folder in folders for each in _files(folder) if is_study(each)]
    if advice := closest_studies(path.name, found):
        return advice
    places = " or ".join("this folder" if folder == Path() else str(folder) for folder in folders)
    return f", and there is none in {places}; 'hebbevo search --space SPACE' makes one"
