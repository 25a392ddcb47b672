"""What a study file and a study in a database have in common."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from optuna.storages import RDBStorage
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session

from hebbevo.spec import Spec
from hebbevo.study.facts import StudyFacts


class Store(Protocol):
    """The place of a study. Its text is its name in messages, never with a password."""

    @property
    def command(self) -> str:
        """The place as arguments of a command line, quoted for a shell."""

    @property
    def report(self) -> Path:
        """The folder of its report."""

    @property
    def rescue(self) -> Path:
        """The file for what a search knows, should the study be lost under it."""

    def exists(self) -> bool:
        """Whether there is a study."""

    def create(self, spec: Spec, facts: StudyFacts) -> None:
        """Make the study, whole or not at all; leave it alone if another process has made it meanwhile."""

    def open(self) -> tuple[RDBStorage, int]:
        """Open a study that hebbevo made.

        Returns:
            The storage, whose engine the caller disposes of, and the study's id.
        """

    def reading(self) -> AbstractContextManager[tuple[Connection, int]]:
        """Give a connection for looking at the study, and the study's id.

        Unlike `open` it leaves out Optuna's own checks of its tables, which take longer than reading them.
        """

    def searcher(self) -> str | None:
        """The process that searches the study now, in words; ``None`` where there is none."""

    def locked(self) -> AbstractContextManager[None]:
        """Lock the study for this process, so that only it writes.

        Raises:
            StudyError: another process has locked it; the message names the process and the time.
        """

    def write(self, engine: Engine, study_id: int, work: Callable[[Session], None]) -> None:
        """Call ``work`` in one transaction. It may be called again after a transaction that failed."""

    def study_errors(self) -> AbstractContextManager[None]:
        """Raise errors of the database as `StudyError` with one line."""
