"""The study files in a folder."""

from __future__ import annotations

import mmap
import struct
from contextlib import suppress
from pathlib import Path

from hebbevo.errors import StudyError
from hebbevo.study.storage.file import StudyFile
from hebbevo.study.storage.study_tables import SPEC
from hebbevo.study.study_names import MAGIC


def studies_of(folder: Path) -> list[StudyFile]:
    """The studies in a folder by name, damaged ones among them. Other files are left out.

    Raises:
        StudyError: there is no such folder, or it cannot be read.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        raise StudyError(f"{folder}: no such folder; write one that has studies") from None
    except OSError as error:
        raise StudyError(f"{folder}: cannot be read ({error.strerror}); write another folder") from error
    return [StudyFile(path) for path in files if is_study(path)]


def is_study(path: Path) -> bool:
    """Whether a file is a study, or what is left of one.

    A study has the key of its settings. A database that was cut may have lost it.
    """
    named = path.suffix == ".db"
    with (
        suppress(OSError, ValueError),  # it cannot be read, or is empty
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        is_database = content[: len(MAGIC)] == MAGIC
        if content.find(SPEC.encode()) >= 0:
            return is_database or named
        return is_database and named and len(content) < _recorded_size(content[:100])
    return False


def _recorded_size(header: bytes) -> int:
    """The size that the first bytes of a database say it has."""
    if len(header) < 100:
        return 100
    (page,) = struct.unpack(">H", header[16:18])
    (pages,) = struct.unpack(">I", header[28:32])
    return int(65_536 if page == 1 else page) * int(pages)
