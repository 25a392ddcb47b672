"""Copies of studies, as files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir

from hebbevo.errors import StudyError
from hebbevo.paths import expanded
from hebbevo.spec import Spec
from hebbevo.study.confirmation_record import ConfirmationRecord
from hebbevo.study.facts import StudyFacts
from hebbevo.study.kept_network import KeptNetwork
from hebbevo.study.ledger import Generation, Ledger
from hebbevo.study.storage import Store, StudyFile, find_store


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
    store, target = find_store(study, storage), StudyFile(expanded(file))
    with Ledger.open(store) as ledger:
        generations, confirmations = ledger.generations(), ledger.confirmations()  # or it is not copied
        if isinstance(store, StudyFile):
            store.copy(target)
        else:
            kept = ledger.kept_networks()
            write(target, ledger.spec, ledger.facts, generations, confirmations, kept)
    return target.path


def rescue(
    store: Store,
    spec: Spec,
    facts: StudyFacts,
    generations: Sequence[Generation],
    confirmations: Sequence[ConfirmationRecord] = (),
) -> Path:
    """Write what a search knows of a study that was lost to a new file, where one can be written.

    Kept weights are lost with the study; its networks can be trained again.

    Raises:
        StudyError: no file can be written.
    """
    wanted = store.rescue
    for folder in (wanted.parent, Path.cwd(), Path(gettempdir())):
        names = (wanted.name, *(f"{wanted.stem}-{number}.db" for number in range(2, 1000)))
        path = next(folder / name for name in names if not (folder / name).exists())
        with suppress(StudyError):
            write(StudyFile(path), spec, facts, generations, confirmations)
            return path
    raise StudyError(f"{wanted}: what the search knows cannot be written anywhere; make room on a disk")


def write(
    target: StudyFile,
    spec: Spec,
    facts: StudyFacts,
    generations: Sequence[Generation],
    confirmations: Sequence[ConfirmationRecord] = (),
    kept: Sequence[KeptNetwork] = (),
) -> None:
    """Write a study with these generations, confirmations and weights to a new file, whole or not at all.

    Raises:
        StudyError: the file exists or cannot be written.
    """
    fresh = StudyFile(target.path.with_name(f"{target.path.name}.part"))
    try:
        with Ledger.create(fresh, spec, facts) as ledger:
            ledger.add_generations(generations)
            ledger.add_confirmations(confirmations)
            ledger.add_kept_networks(kept)
        fresh.copy(target)
    finally:
        fresh.remove()
