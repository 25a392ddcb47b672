"""Studies of a database: listed, compared and shown."""

import json

import pytest
from sqlalchemy import text

import hebbevo
from hebbevo.errors import StudyError
from hebbevo.study.dashboard import serving
from hebbevo.study.storage import StudyDatabase, studies_in
from hebbevo.study.storage.database_url import without_passwords
from hebbevo.study.summary import State, summary_of
from tests.study.comparison.conftest import GA, made_up
from tests.study.conftest import refused
from tests.study.storage.conftest import engine_of, writing


def write(url: str, name: str, seed: int) -> None:
    made = made_up(GA[seed], seed=seed)
    store = StudyDatabase(url, name)
    store.create(made.spec, made.facts)
    with writing(store) as ledger:
        ledger.add_generations(made.recorded)


def test_a_database_without_tables_has_no_studies(empty_database):
    assert studies_in(empty_database) == []
    assert hebbevo.studies(storage=empty_database).empty


def test_the_studies_of_a_database_are_listed_with_what_they_say(empty_database):
    for name, seed in (("b", 1), ("a", 0)):
        write(empty_database, name, seed)
    with engine_of(empty_database) as engine, engine.connect() as connection:
        connection.execute(text("INSERT INTO studies (study_name) VALUES ('of another program')"))
    table = hebbevo.studies(storage=empty_database)
    assert table["study"].to_list() == ["a", "b"]
    assert table["state"].to_list() == ["complete", "complete"]
    for row in table.to_dict("records"):
        study = hebbevo.open_study(row["study"], empty_database)
        assert row["hypervolume"] == pytest.approx(study.hypervolume())
        assert (row["trials"], row["front"]) == (2, len(study.front()))


def test_a_study_that_has_a_lease_is_running(url, name):
    write(url, name, 0)
    store = StudyDatabase(url, name)
    with store.locked():
        found = summary_of(StudyDatabase(url, name))
    assert (found.state, found.study) == (State.RUNNING, name)
    assert "has been searching it since" in found.remark
    assert summary_of(StudyDatabase(url, name)).state is State.COMPLETE


def test_the_commands_take_names_and_patterns_and_show_no_password(run, url, name, monkeypatch):
    names = [f"{name}-{seed}" for seed in (0, 1)]
    for seed, each in enumerate(names):
        write(url, each, seed)
    password = url.partition("://")[2].partition("@")[0].partition(":")[2]
    _, out, err = run("compare", *names, "--storage", url, "--format", "json")
    found = json.loads(out)
    assert [row["study"] for row in found["studies"]] == [
        f"{each} in {without_passwords(url)}" for each in names
    ]
    assert not password or password not in out + err
    monkeypatch.setenv("HEBBEVO_STORAGE", url)
    _, out, _ = run("compare", "--group", f"mine={name}-?", "--format", "json")
    assert [row["group"] for row in json.loads(out)["studies"]] == ["mine", "mine"]
    _, out, _ = run("studies", "--format", "json")
    assert set(names) <= {row["study"] for row in json.loads(out)}
    code, _, err = run("studies", ".")  # a folder goes before the environment
    assert (code, err) == (0, ".: there are no studies\n")


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_dashboard_shows_a_study_of_a_database(url, name):
    pytest.importorskip("optuna_dashboard")
    write(url, name, 0)
    with serving(name, url, port=0) as server:
        assert server.url.endswith(f"/dashboard/studies/{server.study_id}")


def test_a_database_that_cannot_be_used_is_an_error_of_one_line():
    with pytest.raises(StudyError, match="SQLite has no server"):
        studies_in("sqlite:///mine.db")
    with refused("the database cannot be used"):
        studies_in("postgresql://me:secret@127.0.0.1:1/none")
