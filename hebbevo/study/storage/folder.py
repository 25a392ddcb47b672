"""The study files in a folder."""

from __future__ import annotations

import mmap
from contextlib import suppress
from pathlib import Path

from hebbevo.errors import StudyError
from hebbevo.study.storage.file import MAGIC, StudyFile
from hebbevo.study.storage.study_tables import SPEC


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
    return [StudyFile(path) for path in files if _is_study(path)]


def _is_study(path: Path) -> bool:
    """Whether a file is a study, or what is left of one: it has the key of recorded settings."""
    with suppress(OSError), path.open("rb") as file:
        if not path.is_file() or not (file.read(len(MAGIC)) == MAGIC or path.suffix == ".db"):
            return False
        with suppress(ValueError), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(SPEC.encode()) >= 0
    return False
