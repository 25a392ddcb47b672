"""A study in one SQLite file."""

from __future__ import annotations

import glob
import json
import os
import shlex
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import func, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from hebbevo.errors import StudyError
from hebbevo.spec import Spec
from hebbevo.study.facts import StudyFacts
from hebbevo.study.storage.errors import database_message, incompatible_optuna
from hebbevo.study.storage.process_identity import host_name, is_running, this_process, utc_time
from hebbevo.study.storage.study_tables import SPEC, add_study

_MAGIC = b"SQLite format 3\0"
_BUSY_SECONDS = 60


class StudyFile:
    """A study in one SQLite file, which is in WAL mode.

    Args:
        path: of the file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def command(self) -> str:
        """Its path, quoted for a shell."""
        return shlex.quote(str(self.path))

    @property
    def report(self) -> Path:
        """A folder beside the file."""
        return self.path.with_name(f"{self.path.stem}-report")

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self.path.exists()

    def create(self, spec: Spec, facts: StudyFacts) -> None:
        """Write the study to a hidden file and move it to its place.

        Raises:
            StudyError: the folder cannot be written, or another search writes to it.
        """
        fresh = self.path.with_name(f".{self.path.name}.new")
        with self.locked():
            if self.exists():
                return
            try:
                _remove(fresh)  # of a killed process; its journal would be taken for the new file's
                with self.study_errors():
                    storage = self._storage(fresh)
                    try:
                        self.write(
                            storage.engine, 0, lambda session: add_study(session, spec.name, spec, facts)
                        )
                    finally:
                        storage.engine.dispose()
                os.replace(fresh, self.path)
            except OSError as error:
                raise self._unwritable(error) from error
            finally:
                _remove(fresh)

    def open(self) -> tuple[RDBStorage, int]:
        """Open the file, which may be in use.

        Raises:
            StudyError: there is no such file, or it is not a study of hebbevo.
        """
        self._check()
        storage = self._storage(self.path)
        try:
            with Session(storage.engine) as session:
                return storage, session.scalars(select(func.min(models.StudyModel.study_id))).one()
        except BaseException:
            storage.engine.dispose()
            raise

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the file. The lock ends with the process, even if that is killed.

        Raises:
            StudyError: another process has locked it, or the folder cannot be written.
        """
        lock = FileLock(self._lock_file, timeout=0)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise StudyError(f"{self}: {self._locked_by()}; wait for it, or write another --study") from None
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            now = utc_time(datetime.now(UTC))
            identity = {"host": host_name(), "pid": os.getpid(), "who": this_process(), "since": now}
            self._write_identity(identity)
            yield
        finally:
            self._write_identity({})
            lock.release()

    def write(self, engine: Engine, study_id: int, work: Callable[[Session], None]) -> None:
        """Call ``work`` in one transaction."""
        with Session(engine) as session, session.begin():
            work(session)

    @contextmanager
    def study_errors(self) -> Iterator[None]:
        """Raise errors of SQLite as `StudyError` with one line."""
        try:
            yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, sqlite3.Error) as error:
            raise StudyError(
                f"{self}: the study cannot be read or written ({database_message(error)}); "
                "check disk space and permissions, then 'hebbevo resume'"
            ) from error

    def _storage(self, path: Path) -> RDBStorage:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # not by URL, in which ?, % and {} in a path would have a meaning
        connect: Any = partial(_connect, path)
        pool = QueuePool(connect)
        try:
            return RDBStorage("sqlite://", engine_kwargs={"pool": pool})
        except RuntimeError as error:
            pool.dispose()
            raise incompatible_optuna(self, error) from error

    def _check(self) -> None:
        """Check, without a write, that the file is a study of hebbevo.

        Raises:
            StudyError: it is not.
        """
        path = self.path
        try:
            if not path.exists():
                raise StudyError(f"{path}: no such study; 'hebbevo search --space SPACE' makes one")
            if not path.is_file():
                what = "a folder" if path.is_dir() else "no ordinary file"
                raise StudyError(f"{path}: is {what}; write the path of a study file")
            with path.open("rb") as file:
                magic = file.read(len(_MAGIC))
            if magic != _MAGIC:
                raise StudyError(f"{path}: is not a study file; write the path of one that hebbevo made")
            # SQLite makes journals even to read, except for a file that is declared immutable
            access = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
            uri = f"{path.resolve().as_uri()}?{access}"
            connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)
            try:
                found = connection.execute(
                    "SELECT 1 FROM study_user_attributes WHERE key = ? AND study_id ="
                    " (SELECT min(study_id) FROM studies)",
                    (SPEC,),
                ).fetchone()
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            raise StudyError(f"{path}: cannot be read as a study ({error}); write another path") from error
        except OSError as error:
            raise StudyError(f"{path}: cannot be read ({error.strerror}); write another path") from error
        if not found:
            raise StudyError(f"{path}: is a database, but hebbevo did not make it; write another path")

    @property
    def _lock_file(self) -> Path:
        return self.path.with_name(f".{self.path.name}.lock")

    def _unwritable(self, error: OSError) -> StudyError:
        return StudyError(f"{self}: cannot be written ({error.strerror}); write another --study")

    def _write_identity(self, identity: Mapping[str, Any]) -> None:
        """Write which process has locked the file, for the messages of others."""
        with suppress(OSError):  # what locks is the lock on this file, not its content
            self._lock_file.write_text(json.dumps(identity))

    def _locked_by(self) -> str:
        """The process that has locked the file, in words.

        The lock file may still name a process that was killed, so the process must be running.
        """
        try:
            identity = json.loads(self._lock_file.read_text())
            if identity["host"] == host_name() and is_running(identity["pid"]):
                return f"{identity['who']} has been searching it since {identity['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return "another search is writing to it"


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _remove(path: Path) -> None:
    """Remove a file and the journals beside it."""
    for leftover in path.parent.glob(f"{glob.escape(path.name)}*"):
        leftover.unlink()
