"""The server that a URL leads to, and how to connect to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from sqlalchemy import inspect, make_url, text
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

from hebbevo.errors import StudyError

PATIENCE_SECONDS = 60.0

_EXAMPLE = "write postgresql://USER:PASSWORD@HOST/DATABASE, or mysql://..."
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
# when a connection that leads nowhere is given up; every driver has its own words for it
_SILENCE: dict[str, dict[str, int]] = {
    "psycopg": {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 30_000},
    "psycopg2": {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 30_000},
    "pymysql": {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60},
}


def parse(url: str) -> URL:
    """Read a URL and choose its driver.

    Raises:
        StudyError: it leads to no database, or the driver is missing.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the password may be anywhere in it, so it is not shown
        raise StudyError(f"--storage: this is not the URL of a database; {_EXAMPLE}") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        raise StudyError("--storage: SQLite has no server; leave it out, and write the file as the study")
    if kind not in _DRIVERS:
        raise StudyError(f"--storage: {kind!r} is no kind of database that hebbevo can use; {_EXAMPLE}")
    if parsed.drivername == kind and find_spec(_DRIVERS[kind]):
        parsed = parsed.set(drivername=f"{kind}+{_DRIVERS[kind]}")
    try:
        parsed.get_dialect().import_dbapi()
    except (ImportError, ArgumentError):
        raise StudyError(
            f"--storage: the driver of {parsed.drivername} is not installed; "
            f'pip install "hebbevo[{kind}]", and write {kind}://...'
        ) from None
    return parsed


def shown(url: str) -> str:
    """The URL without passwords."""
    given = make_url(url)
    hidden = {key: "***" for key in given.query if "pass" in key.lower()}
    return given.update_query_dict(hidden).render_as_string(hide_password=True)


def settings(url: URL) -> dict[str, Any]:
    """How an engine connects."""
    silence = _SILENCE.get(url.get_dialect().driver, {})
    mine = {option: value for option, value in silence.items() if option not in url.query}
    return {"pool_pre_ping": True, "connect_args": mine}


def patiently(work: Callable[[], None]) -> None:
    """Do this again while the database is away, for as long as patience lasts."""
    until, pause = time.monotonic() + PATIENCE_SECONDS, 0.1
    while True:
        try:
            return work()
        except DBAPIError as error:
            away = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
            if not away or time.monotonic() + pause > until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def widen(engine: Engine) -> None:
    """Make room for long attributes: MySQL's TEXT ends at 64 KB, which the means of CIFAR-10 exceed."""
    if engine.name != "mysql":
        return
    for table in ("study_user_attributes", "trial_user_attributes"):
        kinds = {column["name"]: column["type"] for column in inspect(engine).get_columns(table)}
        if not isinstance(kinds["value_json"], MEDIUMTEXT):
            with engine.begin() as connection:
                connection.execute(text(f"ALTER TABLE {table} MODIFY value_json MEDIUMTEXT"))
