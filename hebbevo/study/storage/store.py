"""What a file and a database have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from optuna.storages import RDBStorage
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from hebbevo.spec.schema import Spec

STUDIES = Path("studies")


class Store(Protocol):
    """The place of a study; as text it is what messages call it, never with a password."""

    @property
    def command(self) -> str:
        """How a command line names it, quoted for a shell."""

    @property
    def report(self) -> Path:
        """The folder of its report."""

    def exists(self) -> bool:
        """Whether a study is there."""

    def create(self, spec: Spec, facts: Mapping[str, Any]) -> None:
        """Make the study, whole or not at all, unless it is there by now."""

    def open(self) -> tuple[RDBStorage, int]:
        """Open what hebbevo made: the storage, whose engine the caller disposes of, and the study's id."""

    def held(self) -> AbstractContextManager[None]:
        """Hold the study for writing; whoever is second is told who holds it, and since when."""

    def write(self, engine: Engine, study_id: int, work: Callable[[Session], None]) -> None:
        """Do ``work`` in one transaction; where it is done again, the first time has left no trace."""

    def reported(self) -> AbstractContextManager[None]:
        """Turn what goes wrong underneath into one line."""
