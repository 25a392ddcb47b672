"""Copies of studies, as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hebbevo.spec import Spec
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Generation, Ledger
from hebbevo.study.storage import StudyFile, find_store


def copy(study: str | Path, file: str | Path, storage: str | None = None) -> Path:
    """Copy a study to a new file. A search may be writing to it meanwhile.

    Args:
        study: the study file or, with ``storage``, the study's name in that database.
        file: the new file, which must not exist.
        storage: URL of a database, as ``postgresql://USER:PASSWORD@HOST/DATABASE``.

    Returns:
        The path of the new file.

    Raises:
        StudyError: there is no such study, it is damaged, or the file exists or cannot be written.

    Examples:
        >>> import hebbevo
        >>> _ = hebbevo.search("stamina", study="first.db", population=4, trials=4, epochs=1, workers=1)
        >>> _ = hebbevo.copy("first.db", "second.db")
        >>> len(hebbevo.open_study("second.db").trials())
        4
    """
    store, target = find_store(study, storage), StudyFile(Path(file))
    with Ledger.open(store) as ledger:
        generations = ledger.generations()  # what cannot be read is not copied
        if isinstance(store, StudyFile):
            store.copy(target)
        else:
            write(target, ledger.spec, ledger.facts, generations)
    return target.path


def write(target: StudyFile, spec: Spec, facts: StudyFacts, generations: Sequence[Generation]) -> None:
    """Write a study with these generations to a new file, whole or not at all.

    Raises:
        StudyError: the file exists or cannot be written.
    """
    fresh = StudyFile(target.path.with_name(f"{target.path.name}.part"))
    try:
        with Ledger.create(fresh, spec, facts) as ledger:
            ledger.add_generations(generations)
        fresh.copy(target)
    finally:
        fresh.remove()
