"""Compiles the native engine where a C compiler is: when hebbevo is installed, or by hand.

    python -m hebbevo.native

The build of the package loads this file by its path, so it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

WIDTHS = (4, 8, 16)
"""Floats in the vectors of each build: for any processor, for AVX2, and for AVX-512."""

BUILT = Path(__file__).parent / "built"
"""Where the builds are."""

_SOURCE = Path(__file__).parent / "source" / "engine.c"
_FLAGS = ("-std=gnu11", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=fast")
FAST = ("-O3", "-fno-math-errno", "-fno-trapping-math")
"""Flags of the compiler for speed."""
_WIDER = {8: ("-mavx2", "-mfma"), 16: ("-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma")}
_MOST_SECONDS = 300


def path_of(width: int, folder: Path = BUILT) -> Path:
    """Where the build for vectors of this width is, whether it was made or not."""
    return folder / f"engine_{width}.so"


def build(folder: Path = BUILT, flags: Sequence[str] = FAST) -> tuple[list[int], str]:
    """Compile the engine for each width of vectors that the compiler knows.

    Args:
        folder: gets the builds; those of an earlier time are replaced or deleted.
        flags: of the compiler, beside those that every build needs.

    Returns:
        The widths, and why others are missing; empty where none is.
    """
    for width in WIDTHS:
        path_of(width, folder).unlink(missing_ok=True)
    compiler = next(filter(shutil.which, (os.environ.get("CC", ""), "gcc", "clang", "cc")), None)
    if compiler is None:
        return [], "there is no C compiler"
    folder.mkdir(parents=True, exist_ok=True)
    widths = WIDTHS if platform.machine() in ("x86_64", "AMD64") else WIDTHS[:1]
    failed = {width: _failure(compiler, width, folder, flags) for width in widths}
    return [width for width in widths if not failed[width]], next(filter(None, failed.values()), "")


def _failure(compiler: str, width: int, folder: Path, flags: Sequence[str]) -> str:
    """Compile for vectors of this width; say why it cannot be done, or nothing."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        target = Path(work) / "engine.so"
        command = [compiler, *_FLAGS, *flags, *_WIDER.get(width, ()), "-o", str(target), str(_SOURCE), "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_MOST_SECONDS)
        except subprocess.CalledProcessError as error:
            first, *_ = [*filter(None, error.stderr.splitlines()), f"{compiler} failed"]
            return f"{compiler} cannot compile it: {first}"
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{compiler} cannot be run: {error}"
        os.replace(target, path_of(width, folder))  # at once: another process may be loading it
    return ""
