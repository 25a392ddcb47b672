"""Whole files or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hebbevo.errors import UsageError


def save(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write each of ``contents``, file name to bytes, into ``folder``, which is made where missing.

    Nothing takes its place before everything is on the disk.

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
        return  # where the folder itself is no folder, there is no draft either
