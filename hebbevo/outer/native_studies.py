"""Studies of the native engine: no other engine, nor another version of it, computes them unseen."""

from __future__ import annotations

from hebbevo import native
from hebbevo.errors import StudyError
from hebbevo.study.ledger import Ledger


def check_native(ledger: Ledger) -> None:
    """Check that trainings of a study can be computed here by the engine that has begun it.

    Raises:
        StudyError: it is one of the native engine, which is not compiled here or is of another version.
    """
    version = ledger.facts.native
    if not version:
        return
    if version != native.VERSION:
        what = f"was begun by version {version} of the native engine, and here is version {native.VERSION}"
        raise StudyError(f"{ledger.store}: {what}; use the hebbevo that began it, or write another --study")
    if not native.is_built():
        what = "was begun by the native engine, which is not compiled here"
        raise StudyError(f"{ledger.store}: {what}; install a C compiler, and run {native.COMMAND}")
