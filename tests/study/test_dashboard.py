"""optuna-dashboard on a study: started, and asked over HTTP."""

import hashlib
import json
import socket
import sys
import threading
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from hebbevo.errors import UsageError
from hebbevo.study.dashboard import serving
from hebbevo.study.view import open_study
from tests.study.comparison.conftest import GA, made_up

optuna_dashboard = pytest.importorskip("optuna_dashboard")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return made_up(GA[0], tmp_path_factory.mktemp("dashboard") / "a %b.db").write()


@contextmanager
def running(*args, **options):
    with serving(*args, port=0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def asked(server, path, method="GET"):
    host, port = server.server_address[:2]
    request = Request(f"http://{host}:{port}{path}", method=method, data=b"{}" if method != "GET" else None)
    with urlopen(request, timeout=30) as answer:
        return answer.read()


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_it_shows_every_trial_of_the_study(path):
    study = open_study(path)
    with running(path) as server:
        [listed] = json.loads(asked(server, "/api/studies"))["study_summaries"]
        shown = json.loads(asked(server, f"/api/studies/{server.study_id}?after=0"))
        page = asked(server, f"/dashboard/studies/{server.study_id}")
    assert listed["study_id"] == server.study_id and listed["study_name"] == study.name
    assert [trial["number"] for trial in shown["trials"]] == study.trials()["trial"].to_list()
    values = [trial["values"] for trial in shown["trials"]]
    assert values == study.trials()[["accuracy", "survivors"]].to_numpy().tolist()
    assert b"<html" in page
    assert server.url.endswith(f"/dashboard/studies/{server.study_id}")


def test_nothing_can_be_changed(path):
    before = hashlib.sha256(path.read_bytes()).digest()
    with running(path) as server:
        place = f"/api/studies/{server.study_id}"
        for method, where in (("DELETE", place), ("PUT", f"{place}/note"), ("POST", f"{place}/rename")):
            with pytest.raises(HTTPError) as caught:
                asked(server, where, method)
            assert caught.value.code == 403
            assert b"changes nothing" in caught.value.read()
            caught.value.close()
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_a_study_that_a_search_has_locked_is_shown(path):
    from hebbevo.study.storage import StudyFile

    with StudyFile(path).locked(), running(path) as server:
        assert json.loads(asked(server, "/api/studies"))["study_summaries"]


def test_an_address_that_is_in_use_is_an_error_of_one_line(path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(UsageError, match=rf"--port {port}: cannot be used \(.*\); write another --port$"),
            serving(path, port=port),
        ):
            pytest.fail("served")


def test_a_study_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no such study"), serving(tmp_path / "none.db", port=0):
        pytest.fail("served")


def test_without_the_package_the_command_that_installs_it_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(UsageError) as caught, serving(path, port=0):
        pytest.fail("served")
    assert str(caught.value) == (
        'dashboard: optuna-dashboard is not installed; pip install "hebbevo[dashboard]"'
    )
