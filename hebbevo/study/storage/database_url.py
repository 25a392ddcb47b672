"""URLs of databases, and how to connect to them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from hebbevo.errors import StudyError

_EXAMPLE = "write postgresql://USER:PASSWORD@HOST/DATABASE, or mysql://..."
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
_PUBLIC_OPTIONS = frozenset(
    {
        "application_name",
        "charset",
        "connect_timeout",
        "host",
        "hostaddr",
        "keepalives_idle",
        "port",
        "read_default_file",
        "read_default_group",
        "read_timeout",
        "service",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
        "tcp_user_timeout",
        "unix_socket",
        "write_timeout",
    }
)
# when a connection without an answer is given up; every driver has its own options for it
_TIMEOUTS: dict[str, dict[str, int]] = {
    "psycopg": {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 30_000},
    "psycopg2": {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 30_000},
    "pymysql": {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60},
}


def parse(url: str) -> URL:
    """Read a URL and choose its driver.

    Raises:
        StudyError: it is not the URL of a database, or the driver is missing.
    """
    if url.count("@") > 1:  # where the password ends is a guess, and a wrong one would show its rest
        raise StudyError(
            "--storage: the URL has more than one @; write %40 for each that is part of the password or the "
            "user, or leave the password to PGPASSWORD or to a service file"
        )
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


def without_passwords(url: str) -> str:
    """Give a URL with ``***`` in place of the password, and of every option that is not known to be public.

    >>> without_passwords("mysql://me:secret@host/studies?charset=utf8mb4&ssl_key_password=secret")
    'mysql://me:***@host/studies?charset=utf8mb4&ssl_key_password=***'
    """
    given = make_url(url)
    hidden = {key: "***" for key in given.query if key.lower() not in _PUBLIC_OPTIONS}
    shown = given.update_query_dict(hidden).render_as_string(hide_password=True)
    return shown.replace("%2A%2A%2A", "***")


def secrets(url: URL) -> list[str]:
    """The texts of a URL that no message may have, as given and as written in a URL."""
    hidden = [value for key, value in url.query.items() if key.lower() not in _PUBLIC_OPTIONS]
    options = [text for value in hidden for text in ([value] if isinstance(value, str) else value)]
    password = str(url.password or "")
    return [text for text in (password, quote(password, safe=""), *options) if len(text) > 1]


def engine_options(url: URL) -> dict[str, Any]:
    """The options of an engine for this URL. Timeouts in the URL go before hebbevo's own."""
    timeouts = _TIMEOUTS.get(url.get_dialect().driver, {})
    added = {option: value for option, value in timeouts.items() if option not in url.query}
    return {"pool_pre_ping": True, "connect_args": added}
