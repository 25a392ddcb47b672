"""A study in one SQLite file."""

from __future__ import annotations

import glob
import json
import os
import shlex
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool, QueuePool

from hebbevo.errors import StudyError, StudyLost
from hebbevo.messages import first_line
from hebbevo.spec import Spec
from hebbevo.study.facts import StudyFacts
from hebbevo.study.storage.errors import database_message, incompatible_optuna
from hebbevo.study.storage.file_lock import FileLocked, is_locked, locked_itself
from hebbevo.study.storage.process_identity import host_name, is_running, this_process, utc_time
from hebbevo.study.storage.study_tables import SPEC, add_study
from hebbevo.study.study_names import MAGIC

_IN_WAL_MODE = b"\x02\x02"  # at byte 18 of a file
_BUSY_SECONDS = 60
_REASONS: dict[type[OSError], str] = {
    FileExistsError: "its folder is a file",
    NotADirectoryError: "its folder is a file",
    FileNotFoundError: "no file can be made in its folder",
}
"""Why a study file cannot be written, where the system's own words are about another file."""
# by their text, which SQLite obeys; a made-up type beside it would hide a trigger
_OTHER_THAN_TABLES = """
    SELECT 1 FROM sqlite_master
    WHERE sql NOT LIKE 'CREATE TABLE %' AND sql NOT LIKE 'CREATE INDEX %'
    AND sql NOT LIKE 'CREATE UNIQUE INDEX %'
"""


class StudyFile:
    """A study in one SQLite file, which alone holds all that is recorded: no write-ahead log is beside it.

    Args:
        path: of the file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, int] | None = None  # device and number of the file that is open
        self._size = 0

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

    @property
    def rescue(self) -> Path:
        """A file beside the file."""
        return self.path.with_name(f"{self.path.stem}-rescue.db")

    def exists(self) -> bool:
        """Whether there is such a file."""
        return os.path.exists(self.path)  # False, too, for a name that is too long

    def create(self, spec: Spec, facts: StudyFacts) -> None:
        """Write the study to a hidden file and move it to its place.

        Raises:
            StudyError: the folder cannot be written, or another search writes to it.
        """
        with self.locked():
            if self.exists():
                return
            self.refuse_lone_journals()

            def make(fresh: Path) -> None:
                storage = self._storage(fresh, "rwc")
                try:
                    with Session(storage.engine) as session, session.begin():
                        add_study(session, spec.name, spec, facts)
                finally:
                    storage.engine.dispose()

            self._put_in_place(make)

    def copy(self, target: StudyFile) -> None:
        """Copy the file, which may be in use, as it is between two writes.

        Raises:
            StudyError: there is no such study, the target exists, or it cannot be written.
        """
        self._check()

        def make(fresh: Path) -> None:
            with closing(_connect(self.path, "rw")) as source, closing(_connect(fresh, "rwc")) as copied:
                source.backup(copied)
                copied.execute("PRAGMA journal_mode=DELETE")  # the source may be of an earlier version

        with target.locked():
            if target.exists():
                raise StudyError(f"{target}: is there already; write another path for the copy")
            target.refuse_lone_journals()
            target._put_in_place(make)

    def open(self) -> tuple[RDBStorage, int]:
        """Open the file, which may be in use.

        Raises:
            StudyError: there is no such file, or it is not a study of hebbevo.
        """
        self._check()
        storage = self._storage(self.path)
        try:
            found = os.stat(self.path)
            self._opened, self._size = (found.st_dev, found.st_ino), found.st_size
            with Session(storage.engine) as session:
                return storage, session.scalars(select(func.min(models.StudyModel.study_id))).one()
        except BaseException:
            storage.engine.dispose()
            raise

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, int]]:
        """Give a connection to the file, which may be in use, and the study's id.

        Raises:
            StudyError: there is no such file, or it is not a study of hebbevo.
        """
        self._check()
        connect: Any = partial(_connect, self.path, "rw")
        engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
        with engine.connect() as connection:
            yield connection, connection.scalars(select(func.min(models.StudyModel.study_id))).one()

    def searcher(self) -> str | None:
        """The process that has locked the file, in words; ``None`` where none has.

        Where the system has no locks on files themselves, it is the running process that wrote its name.
        """
        locked = is_locked(self.path)
        if locked is None:
            return self._named_process()
        return self._locked_by() if locked else None

    def remove(self) -> None:
        """Remove the file, its journal and its lock file."""
        for leftover in (self.path, *_journals(self.path), self._lock_file):
            leftover.unlink(missing_ok=True)

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
            self._require_writable_folder()
            raise StudyError(f"{self}: {self._locked_by()}; wait for it, or write another --study") from None
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            now = utc_time(datetime.now(UTC))
            identity = {"host": host_name(), "pid": os.getpid(), "who": this_process(), "since": now}
            self._write_identity(identity)
            if not self.path.is_file():
                yield
                return
            try:
                with locked_itself(self.path):
                    self._leave_wal_mode()
                    yield
            except FileLocked:
                raise StudyError(
                    f"{self}: another search is writing to this file under another name (a link); wait for "
                    "it, or write another --study"
                ) from None
            except PermissionError as error:
                raise self._unwritable(error) from error
        finally:
            self._write_identity({})
            lock.release()

    def write(self, engine: Engine, study_id: int, work: Callable[[Session], None]) -> None:
        """Call ``work`` in one transaction.

        Raises:
            StudyLost: the path no longer leads to the file that is open.
        """
        self._require_opened()
        with Session(engine) as session, session.begin():
            work(session)
        self._require_opened()  # what was written to a file that has no name any more is not recorded

    @contextmanager
    def study_errors(self) -> Iterator[None]:
        """Raise errors of SQLite as `StudyError` with one line."""
        try:
            yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, sqlite3.Error) as error:
            if self._opened and _is_damage(error):
                raise StudyLost(f"{self}: the file is damaged ({database_message(error)})") from error
            raise StudyError(
                f"{self}: the study cannot be read or written ({database_message(error)}); "
                "check disk space and permissions, then 'hebbevo resume'"
            ) from error

    def _require_opened(self) -> None:
        """Check that the path leads to the file that is open.

        Raises:
            StudyLost: it does not.
        """
        try:
            found = os.stat(self.path)
        except OSError:
            raise StudyLost(f"{self}: the file has been deleted or moved under the search") from None
        if (found.st_dev, found.st_ino) != self._opened:
            raise StudyLost(f"{self}: the file has been replaced by another one under the search")
        if found.st_size < self._size:  # this search never makes it smaller
            raise StudyLost(f"{self}: the file has been cut or overwritten under the search")
        self._size = found.st_size

    def _put_in_place(self, make: Callable[[Path], None]) -> None:
        """Make a hidden file and move it to the path, whole or not at all. The path must be locked."""
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            _remove(fresh)  # of a killed process; its journal would be taken for the new file's
            with self.study_errors():
                make(fresh)
            os.replace(fresh, self.path)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            _remove(fresh)

    def _leave_wal_mode(self) -> None:
        """Take the log of a study of an earlier version into its file, which then needs no log any more.

        Raises:
            StudyError: another program has the file open.
        """
        if _bytes(self.path, 18, 2) != _IN_WAL_MODE:
            return
        with suppress(sqlite3.DatabaseError), closing(_connect(self.path, "rw")) as connection:
            if connection.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",):
                return
        if _bytes(self.path, 18, 2) == _IN_WAL_MODE and self._is_sound():
            raise StudyError(
                f"{self}: another program has it open (optuna-dashboard, perhaps), and then its log cannot "
                "be taken into the file; close that program first"
            )

    def _is_sound(self) -> bool:
        """Whether it is a study of hebbevo; if not, opening it says why."""
        try:
            self._check()
        except StudyError:
            return False
        return True

    def refuse_lone_journals(self) -> None:
        """Refuse a log or a journal beside a file that is missing: SQLite would take it for a new file's.

        Raises:
            StudyError: there is one.
        """
        for journal in _journals(self.path):
            raise StudyError(
                f"{self.path}: the study file is missing, but its {journal.name} is there, which may hold "
                "trials; put the file back beside it, or move that away"
            )

    def _storage(self, path: Path, mode: str = "rw") -> RDBStorage:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # not by SQLAlchemy's URL, in which ?, % and {} in a path would have a meaning
        connect: Any = partial(_connect, path, mode)
        pool = QueuePool(connect)
        try:
            return RDBStorage("sqlite://", engine_kwargs={"pool": pool})
        except RuntimeError as error:
            pool.dispose()
            raise incompatible_optuna(self, error) from error
        except BaseException:
            pool.dispose()
            raise

    def _check(self) -> None:
        """Check, without a write, that the file is a study of hebbevo.

        Raises:
            StudyError: it is not.
        """
        path = self.path
        try:
            if not path.exists():
                self.refuse_lone_journals()
                raise StudyError(f"{path}: no such study; 'hebbevo search --space SPACE' makes one")
            if not path.is_file():
                what = "a folder" if path.is_dir() else "no ordinary file"
                raise StudyError(f"{path}: is {what}; write the path of a study file")
            with path.open("rb") as file:
                magic = file.read(len(MAGIC))
            if magic != MAGIC:
                raise StudyError(f"{path}: is not a study file; write the path of one that hebbevo made")
            # to read a file of an earlier version SQLite makes a log, except if it is declared immutable
            in_wal_mode = _bytes(path, 18, 2) == _IN_WAL_MODE
            access = "immutable=1" if in_wal_mode and not _journals(path) else "mode=ro"
            if path.with_name(f"{path.name}-journal").exists():
                access = "mode=rw"  # of a killed search: SQLite takes back the write that was under way
            uri = f"{path.resolve().as_uri()}?{access}"
            connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)
            try:
                for problem in connection.execute("PRAGMA integrity_check(1)"):
                    if problem != ("ok",):
                        what = first_line(problem[0].removeprefix("*** in database main ***"))
                        raise StudyError(f"{path}: is damaged ({what}); use a copy of it")
                if connection.execute(_OTHER_THAN_TABLES).fetchone():
                    what = "a trigger, a view or a virtual table"
                    raise StudyError(f"{path}: has {what}, which hebbevo never makes; use a copy")
                found = connection.execute(
                    "SELECT 1 FROM study_user_attributes WHERE key = ? AND study_id ="
                    " (SELECT min(study_id) FROM studies)",
                    (SPEC,),
                ).fetchone()
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            raise StudyError(
                f"{path}: cannot be read as a study ({first_line(error)}); write another path"
            ) from error
        except OSError as error:
            raise StudyError(f"{path}: cannot be read ({error.strerror}); write another path") from error
        if not found:
            raise StudyError(f"{path}: is a database, but hebbevo did not make it; write another path")

    @property
    def _lock_file(self) -> Path:
        real = Path(os.path.realpath(self.path))  # one for all symbolic links
        return real.with_name(f".{real.name}.lock")

    def _require_writable_folder(self) -> None:
        """Check that the lock file can be made: where it cannot, filelock waits as for another process.

        Raises:
            StudyError: it cannot.
        """
        try:
            self._lock_file.open("a").close()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StudyError:
        reason = _REASONS.get(type(error), error.strerror)
        return StudyError(f"{self}: cannot be written ({reason}); write another --study")

    def _write_identity(self, identity: Mapping[str, Any]) -> None:
        """Write which process has locked the file, for the messages of others."""
        with suppress(OSError):  # what locks is the lock on this file, not its content
            self._lock_file.write_text(json.dumps(identity))

    def _locked_by(self) -> str:
        """The process that has locked the file, in words."""
        return self._named_process() or "another search is writing to it"

    def _named_process(self) -> str | None:
        """The process that the lock file names, in words, with what it does.

        The lock file may still name a process that was killed, so the process must be running.
        """
        with suppress(OSError, ValueError, KeyError, TypeError):
            identity = json.loads(self._lock_file.read_text())
            if identity["host"] == host_name() and is_running(identity["pid"]):
                return f"{identity['who']} has been searching it since {identity['since']}"
        return None


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Connect to a file, which is made only in the mode ``rwc``. SQLite quotes nothing in a path itself."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)


def _is_damage(error: BaseException) -> bool:
    """Whether an error of SQLite means that the file is no longer the one that was opened."""
    wrapped = error.__cause__ or error
    code = getattr(getattr(wrapped, "orig", wrapped), "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR) or (
        code == sqlite3.SQLITE_READONLY_DBMOVED
    )


def _bytes(path: Path, start: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(count)


def _journals(path: Path) -> list[Path]:
    """The log and the journal beside a file that hold something."""
    beside = [path.with_name(f"{path.name}{ending}") for ending in ("-wal", "-journal")]
    return [journal for journal in beside if os.path.exists(journal) and journal.stat().st_size]


def _remove(path: Path) -> None:
    """Remove a file and the journals beside it."""
    for leftover in path.parent.glob(f"{glob.escape(path.name)}*"):
        leftover.unlink()
