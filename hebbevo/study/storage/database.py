"""A study in a database of a PostgreSQL or MySQL server."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import create_engine, inspect, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from hebbevo.errors import StudyError
from hebbevo.spec.schema import Spec
from hebbevo.study.storage import server
from hebbevo.study.storage.lease import Claim
from hebbevo.study.storage.store import STUDIES
from hebbevo.study.storage.tables import SPEC, add_study, cause, of_another_optuna

ENVIRONMENT = "HEBBEVO_STORAGE"  # where the command line looks for the URL
_LONGEST_NAME = 100


class StudyDatabase:
    """A study in a database, under its name there.

    Raises:
        StudyError: the URL or the name cannot be one, or the driver of the database is missing.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = server.parse(url)
        self._given = url
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise StudyError(f"--study: {name!r} is no name; write 1 to {_LONGEST_NAME} printable characters")
        self.name = name
        self._claim: Claim | None = None

    def __str__(self) -> str:
        return f"{self.name} in {server.shown(self._given)}"

    @property
    def command(self) -> str:
        """Its name, and the database unless the environment names it."""
        name = shlex.quote(self.name)
        if os.environ.get(ENVIRONMENT) == self._given and not is_path(self.name):
            return name
        return f"{name} --storage {shlex.quote(server.shown(self._given))}"

    @property
    def report(self) -> Path:
        """A folder among the studies here."""
        safe = re.sub(r"[^\w.-]", "_", self.name)
        return STUDIES / f"{safe}-report"

    def exists(self) -> bool:
        """Whether a study of this name is there, whoever made it.

        Raises:
            StudyError: the database cannot be used.
        """
        with self.reported(), self._engine() as engine:
            return self._find(engine) is not None

    def create(self, spec: Spec, facts: Mapping[str, Any]) -> None:
        """Write the study in one transaction.

        Raises:
            StudyError: the database cannot be used.
        """
        with self.reported():
            storage = self._storage()
            try:
                server.widen(storage.engine)
                with suppress(IntegrityError), Session(storage.engine) as session, session.begin():
                    add_study(session, self.name, spec, facts)
            finally:
                storage.engine.dispose()

    def open(self) -> tuple[RDBStorage, int]:
        """Open the study, which may be in use.

        Raises:
            StudyError: there is no study of this name, or hebbevo did not make it.
        """
        with self.reported(), self._engine() as engine:
            study_id = self._found(engine)
            return self._storage(), study_id

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the study by a claim, which expires when this process dies.

        Raises:
            StudyError: another process holds it, or the database cannot be used.
        """
        with self._engine() as engine:
            with self.reported():
                claim = Claim(str(self), self._found(engine))
                with Session(engine) as session, session.begin():
                    claim.take(session)
            with claim.kept(engine):
                self._claim = claim
                try:
                    yield
                finally:
                    self._claim = None

    def write(self, engine: Engine, study_id: int, work: Callable[[Session], None]) -> None:
        """Do ``work`` in one transaction if the study is still held; again where the database goes away.

        Raises:
            StudyError: the study is not held, or no longer.
        """
        claim = self._claim or Claim(str(self), study_id)
        mark = uuid4().hex  # tells, where the answer to a commit is lost, whether it took place

        def once() -> None:
            with Session(engine) as session, session.begin():
                if not claim.marked(session, mark):
                    work(session)
                    claim.renew(session, mark=mark)

        server.patiently(once)

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Turn errors of the database into one line."""
        try:
            yield
        except (SQLAlchemyError, StorageInternalError) as error:
            raise StudyError(
                f"{self}: the database cannot be used ({cause(error)}); "
                "check --storage and the server, then try again"
            ) from error

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        engine = create_engine(self._url, **server.settings(self._url))
        try:
            yield engine
        finally:
            engine.dispose()

    def _storage(self) -> RDBStorage:
        """Open the database, with Optuna's tables in it."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        url = self._url.render_as_string(hide_password=False)
        url = url.replace("{", "{{").replace("}", "}}")  # Optuna takes it for a template

        def make() -> RDBStorage:
            return RDBStorage(url, server.settings(self._url), skip_compatibility_check=True)

        storage = _racing(make)
        try:
            storage._version_manager.check_table_schema_compatibility()
        except RuntimeError as error:
            storage.engine.dispose()
            raise of_another_optuna(self, error) from error
        return storage

    def _find(self, engine: Engine) -> int | None:
        """Find a study of this name, without leaving tables where there are none."""
        if not inspect(engine).has_table(models.StudyModel.__tablename__):
            return None
        with Session(engine) as session:
            study = models.StudyModel.find_by_name(self.name, session)
            return None if study is None else study.study_id

    def _found(self, engine: Engine) -> int:
        study_id = self._find(engine)
        if study_id is None:
            raise StudyError(
                f"{self}: no such study; 'hebbevo search --space SPACE --study {self.command}' makes one"
            )
        with Session(engine) as session:
            model = models.StudyUserAttributeModel
            ours = session.scalars(select(model.key).filter_by(study_id=study_id, key=SPEC)).first()
        if ours is None:
            raise StudyError(f"{self}: hebbevo did not make this study; write another name")
        return study_id


def is_path(study: str) -> bool:
    """Whether a command line means a file by this, whatever database its environment names."""
    return study.endswith(".db") or any(mark in study for mark in (os.sep, os.altsep) if mark)


def _racing(make: Callable[[], RDBStorage]) -> RDBStorage:
    """Make tables; of two who do so at once the database stops one, who then finds them made."""
    for pause in (0.1, 0.3, 0.9):
        with suppress(SQLAlchemyError, StorageInternalError):
            return make()
        time.sleep(pause)
    return make()
