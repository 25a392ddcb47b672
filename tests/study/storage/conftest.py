"""Places of studies: a file and databases.

The scripts ``.ci/postgresql`` and ``.ci/mariadb`` start the servers. Without them, their tests are skipped.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from hebbevo.study.attempts import FailedAttempt, FailureKind, Recovery
from hebbevo.study.ledger import Ledger
from hebbevo.study.storage import Store, StudyDatabase, StudyFile, database_url
from tests.study.conftest import Opened, create, open_with_storage

OUT_OF_MEMORY = FailedAttempt((0, 1), FailureKind.MEMORY, "no room", "process 8", 2.0, Recovery.IN_HALVES)
SERVERS = {"postgresql": "HEBBEVO_TEST_POSTGRESQL", "mysql": "HEBBEVO_TEST_MYSQL"}


def server_url(kind: str) -> str:
    url = os.environ.get(SERVERS[kind])
    if not url:
        pytest.skip(f"needs a server in {SERVERS[kind]}")
    return url


def created(store: Store) -> Store:
    create(store)
    return store


def storage_of(store: Store) -> RDBStorage:
    storage, _ = store.open()
    return storage


@contextmanager
def writing(store: Store) -> Iterator[Ledger]:
    with store.locked(), Ledger.open(store) as ledger:
        yield ledger


@contextmanager
def writing_with_storage(store: Store) -> Iterator[Opened]:
    with store.locked():
        opened = open_with_storage(store)
        with opened.ledger:
            yield opened


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    engine = create_engine(database_url.parse(url), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def cut_connections(url: str) -> None:
    """End every other connection, as a server that restarts does."""
    with engine_of(url) as engine, engine.connect() as connection:
        if engine.name == "postgresql":
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            )
            return
        for (thread,) in connection.execute(
            text(
                "SELECT id FROM information_schema.processlist WHERE id <> connection_id()"
                " AND user = substring_index(current_user(), '@', 1)"
            )
        ).all():
            with suppress(OperationalError):
                connection.execute(text(f"KILL {thread}"))


@pytest.fixture
def name() -> str:
    return f"test-{uuid4().hex}"


@pytest.fixture(params=["file", *SERVERS])
def place(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> Callable[[], Store]:
    """Make stores of one place, each as another process would make it."""
    if request.param == "file":
        return lambda: StudyFile(tmp_path / "studies" / f"{name}.db")
    url = server_url(request.param)
    return lambda: StudyDatabase(url, name)


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    return server_url(request.param)


@pytest.fixture
def empty_database() -> Iterator[str]:
    """The URL of a database of its own, without tables."""
    postgresql = server_url("postgresql")
    database = f"test_{uuid4().hex}"
    with engine_of(postgresql) as engine, engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {database}"))
        yield postgresql.rpartition("/")[0] + f"/{database}"
        connection.execute(text(f"DROP DATABASE {database} WITH (FORCE)"))
