"""A study shown by optuna-dashboard, which can change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from hebbevo.errors import UsageError
from hebbevo.study.storage import find_study

_READING = ("GET", "HEAD", "OPTIONS")
_REFUSED = "hebbevo shows this study and changes nothing in it"
_Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class DashboardServer(ThreadingMixIn, WSGIServer):
    """A server that shows a study; made by `serving`.

    Attributes:
        study_id: the number of the study in its storage, which is a part of the dashboard's addresses.
    """

    daemon_threads = True
    study_id: int

    @property
    def url(self) -> str:
        """The address of the page of the study."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/dashboard/studies/{self.study_id}"


@contextmanager
def serving(
    study: str | Path, storage: str | None = None, *, host: str = "127.0.0.1", port: int = 8080
) -> Iterator[DashboardServer]:
    """Open an address for optuna-dashboard; the method ``serve_forever`` of the server then answers.

    Requests that would change the study are refused.

    Args:
        study: the study file or, with ``storage``, the study's name in that database.
        storage: URL of a database, whose other studies are shown, too.
        host: name or address of this machine.
        port: of the server; 0 for any that is free.

    Raises:
        UsageError: optuna-dashboard is not installed, there is no such study, or the address is in use.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError:
        command = 'pip install "hebbevo[dashboard]"'
        raise UsageError(f"dashboard: optuna-dashboard is not installed; {command}") from None
    store = find_study(study, storage)
    rows, study_id = store.open()
    try:
        try:
            server = make_server(host, port, _read_only(wsgi(rows)), DashboardServer, _QuietHandler)
        except OSError as error:
            raise UsageError(
                f"--host {host} --port {port}: cannot be used ({error.strerror}); write another --port"
            ) from error
        server.study_id = study_id
        with server:
            yield server
    finally:
        rows.engine.dispose()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing for a request that was answered."""


def _read_only(application: _Application) -> _Application:
    """The application without the requests that change something."""

    def answer(request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if request["REQUEST_METHOD"] in _READING:
            return application(request, start)
        start("403 Forbidden", [("Content-Type", "application/json")])
        return [json.dumps({"reason": _REFUSED}).encode()]

    return answer
