"""A study in a database of a PostgreSQL or MySQL server."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import create_engine, inspect, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from hebbevo.errors import StudyError
from hebbevo.spec import Spec
from hebbevo.study.facts import StudyFacts
from hebbevo.study.storage import database_url
from hebbevo.study.storage.errors import database_message, incompatible_optuna
from hebbevo.study.storage.lease import Lease, holder
from hebbevo.study.storage.study_tables import SPEC, add_study, widen_attributes
from hebbevo.study.study_names import STUDIES, closest_studies

ENVIRONMENT = "HEBBEVO_STORAGE"
"""The environment variable from which the command line takes the URL."""

RETRY_SECONDS = 60.0
"""How long a write is tried again while the database cannot be reached."""

_LONGEST_NAME = 100


class StudyDatabase:
    """A study in a database.

    Args:
        url: of the database.
        name: of the study in the database.

    Raises:
        StudyError: the URL or the name cannot be one, or the driver of the database is missing.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = database_url.parse(url)
        self._given = url
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise StudyError(f"--study: {name!r} is no name; write 1 to {_LONGEST_NAME} printable characters")
        self.name = name
        self._lease: Lease | None = None

    def __str__(self) -> str:
        return f"{self.name} in {database_url.without_passwords(self._given)}"

    @property
    def command(self) -> str:
        """Its name and, unless the environment names it, the database, quoted for a shell."""
        name = shlex.quote(self.name)
        if os.environ.get(ENVIRONMENT) == self._given and not is_path(self.name):
            return name
        return f"{name} --storage {shlex.quote(database_url.without_passwords(self._given))}"

    @property
    def report(self) -> Path:
        """A folder in the folder of studies."""
        safe = re.sub(r"[^\w.-]", "_", self.name)
        return STUDIES / f"{safe}-report"

    @property
    def rescue(self) -> Path:
        """A file in the folder of studies."""
        return self.report.with_name(f"{self.report.name.removesuffix('-report')}-rescue.db")

    def exists(self) -> bool:
        """Whether there is a study of this name, made by hebbevo or not.

        Raises:
            StudyError: the database cannot be used.
        """
        with self.study_errors(), self._engine() as engine:
            return self._find(engine) is not None

    def create(self, spec: Spec, facts: StudyFacts) -> None:
        """Write the study in one transaction.

        Raises:
            StudyError: the database cannot be used.
        """
        with self.study_errors():
            storage = self._storage()
            try:
                widen_attributes(storage.engine)
                with suppress(IntegrityError), Session(storage.engine) as session, session.begin():
                    add_study(session, self.name, spec, facts)
            finally:
                storage.engine.dispose()

    def open(self) -> tuple[RDBStorage, int]:
        """Open the study, which may be in use.

        Raises:
            StudyError: there is no study of this name, or hebbevo did not make it.
        """
        with self.study_errors(), self._engine() as engine:
            study_id = self._require(engine)
            return self._storage(), study_id

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, int]]:
        """Give a connection to the database, and the study's id.

        Raises:
            StudyError: there is no study of this name, or hebbevo did not make it.
        """
        with self.study_errors(), self._engine() as engine:
            study_id = self._require(engine)
            with engine.connect() as connection:
                yield connection, study_id

    def searcher(self) -> str | None:
        """The process that has a lease on the study, in words; ``None`` where none has.

        Raises:
            StudyError: there is no such study, or the database cannot be used.
        """
        with self.reading() as (connection, study_id), Session(connection) as session:
            return holder(session, study_id)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the study by a lease, which expires if this process is killed.

        Raises:
            StudyError: another process has a lease on it, or the database cannot be used.
        """
        with self._engine() as engine:
            with self.study_errors():
                lease = Lease(str(self), self._require(engine))
                with Session(engine) as session, session.begin():
                    lease.acquire(session)
            with lease.kept_renewed(engine):
                self._lease = lease
                try:
                    yield
                finally:
                    self._lease = None

    def write(self, engine: Engine, study_id: int, work: Callable[[Session], None]) -> None:
        """Call ``work`` in one transaction, and again if the database cannot be reached.

        Raises:
            StudyError: this process has no lease on the study, or has lost it.
        """
        lease = self._lease or Lease(str(self), study_id)
        mark = uuid4().hex  # shows, if the answer to a commit is lost, whether it took place

        def write_once() -> None:
            with Session(engine) as session, session.begin():
                if not lease.has_committed(session, mark):
                    work(session)
                    lease.renew(session, mark=mark)

        _retry_while_unreachable(write_once)

    @contextmanager
    def study_errors(self) -> Iterator[None]:
        """Raise errors of the database as `StudyError` with one line."""
        try:
            yield
        except (SQLAlchemyError, StorageInternalError) as error:
            message = database_message(error)
            for secret in database_url.secrets(self._url):
                message = message.replace(secret, "***")
            raise StudyError(
                f"{self}: the database cannot be used ({message}); "
                "check --storage and the server, then try again"
            ) from error

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        engine = create_engine(self._url, **database_url.engine_options(self._url))
        try:
            yield engine
        finally:
            engine.dispose()

    def _storage(self) -> RDBStorage:
        """Open the database, and make Optuna's tables where there are none."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        url = self._url.render_as_string(hide_password=False)
        url = url.replace("{", "{{").replace("}", "}}")  # Optuna formats it as a template

        def make() -> RDBStorage:
            return RDBStorage(url, database_url.engine_options(self._url), skip_compatibility_check=True)

        storage = _with_retries(make)
        try:
            storage._version_manager.check_table_schema_compatibility()
        except RuntimeError as error:
            storage.engine.dispose()
            raise incompatible_optuna(self, error) from error
        return storage

    def _find(self, engine: Engine) -> int | None:
        """Find the id of the study, or ``None``. No tables are made where there are none."""
        if not inspect(engine).has_table(models.StudyModel.__tablename__):
            return None
        with Session(engine) as session:
            study = models.StudyModel.find_by_name(self.name, session)
            return None if study is None else study.study_id

    def _require(self, engine: Engine) -> int:
        """Find the study's id.

        Raises:
            StudyError: there is no study of this name, or hebbevo did not make it.
        """
        study_id = self._find(engine)
        if study_id is None:
            made = f"'hebbevo search --space SPACE --study {self.command}' makes one"
            advice = closest_studies(self.name, _names(engine))
            raise StudyError(f"{self}: no such study; {made}{advice}")
        with Session(engine) as session:
            model = models.StudyUserAttributeModel
            ours = session.scalars(select(model.key).filter_by(study_id=study_id, key=SPEC)).first()
        if ours is None:
            raise StudyError(f"{self}: hebbevo did not make this study; write another name")
        return study_id


def studies_in(url: str) -> list[StudyDatabase]:
    """The studies in a database that hebbevo has made, by name.

    Raises:
        StudyError: the URL cannot be one, the driver is missing, or the database cannot be used.
    """
    probe = StudyDatabase(url, "studies")  # reports errors of the database as one of a study
    with probe.study_errors(), probe._engine() as engine:
        names = _names(engine)
    return [StudyDatabase(url, name) for name in names]


def _names(engine: Engine) -> Sequence[str]:
    """The names of the studies in a database that hebbevo has made, in their order."""
    study, attribute = models.StudyModel, models.StudyUserAttributeModel
    if not inspect(engine).has_table(study.__tablename__):
        return []
    named = select(study.study_name).join(attribute, attribute.study_id == study.study_id)
    with Session(engine) as session:
        return session.scalars(named.where(attribute.key == SPEC).order_by(study.study_name)).all()


def is_path(study: str) -> bool:
    """Whether ``study`` on a command line is the path of a file rather than a name in a database.

    >>> is_path("studies/stamina.db"), is_path("stamina")
    (True, False)
    """
    return study.endswith(".db") or any(mark in study for mark in (os.sep, os.altsep) if mark)


def _retry_while_unreachable(work: Callable[[], None]) -> None:
    """Call ``work`` again, after growing pauses, while the database cannot be reached."""
    until, pause = time.monotonic() + RETRY_SECONDS, 0.1
    while True:
        try:
            return work()
        except DBAPIError as error:
            away = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
            if not away or time.monotonic() + pause > until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def _with_retries(make: Callable[[], RDBStorage]) -> RDBStorage:
    """Make a storage and its tables.

    If two processes make the tables at once, the database stops one of them, which then finds them made.
    """
    for pause in (0.1, 0.3, 0.9):
        with suppress(SQLAlchemyError, StorageInternalError):
            return make()
        time.sleep(pause)
    return make()
