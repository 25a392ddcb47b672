"""Write several files, all of them or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hebbevo.errors import UsageError


def save(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files into a folder, which is made if it is missing.

    Each file is written under a temporary name first. They get their names once all are on the disk, so that
    an error leaves earlier files as they were.

    Args:
        folder: where to write.
        contents: file name to bytes.

    Returns:
        The paths of the files.

    Raises:
        UsageError: the folder cannot be written or the disk is full.
    """
    drafts = {folder / name: folder / f".{name}.{os.getpid()}.tmp" for name in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target, draft in drafts.items():
            draft.write_bytes(contents[target.name])
        for target, draft in drafts.items():
            draft.replace(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"{folder}: the report cannot be written: {reason}; choose another folder"
        ) from error
    finally:
        for draft in drafts.values():
            _discard(draft)
    return list(drafts)


def _discard(draft: Path) -> None:
    try:
        draft.unlink(missing_ok=True)
    except OSError:
        return  # the parent is a file or cannot be written: there is no draft
