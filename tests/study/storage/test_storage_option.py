"""The commands with ``--storage``, or with a database that the environment names."""

import json
import sys
from pathlib import Path
from uuid import uuid4

import optuna
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError

import hebbevo
from hebbevo.study.storage import StudyDatabase, database_url
from hebbevo.study.storage.database_url import without_passwords
from tests.study.conftest import create, refused, reread
from tests.study.storage.conftest import created, engine_of, storage_of


def password(url: str) -> str:
    return url.partition("://")[2].partition("@")[0].partition(":")[2]


def test_every_command_finds_a_study_in_a_database_and_says_how_to_continue_it(run, url, name, space) -> None:
    where = without_passwords(url)
    code, out, err = run("search", "--space", space, "--trials", 8, "--study", name, "--storage", url)
    assert code == 0
    assert f"study   {name} in {where}" in out
    assert f"report  studies/{name}-report/report.html" in out
    assert f"more    hebbevo resume {name} --storage '{where}' --trials 16" in out
    assert password(url) not in out + err
    code, out, err = run("resume", name, "--storage", url, "--trials", 16, "--quiet")
    assert (code, out, err) == (0, "", "")
    code, out, _ = run("front", name, "--storage", url, "--format", "json")
    front = hebbevo.open_study(name, url).front()
    assert [item["trial"] for item in json.loads(out)] == front.trial.tolist()
    code, out, _ = run("report", name, "--storage", url)
    assert out.split()[0] == f"studies/{name}-report/report.html"
    page = Path(out.split()[0]).read_text()
    assert f"Made by hebbevo from {name} in {where}." in page
    assert password(url) not in page
    assert not list(Path.cwd().rglob("*.db"))


def genomes(study: str, storage: str | None = None) -> list[dict]:
    opened = hebbevo.open_study(study, storage)
    return [opened.genome(trial) for trial in opened.trials().trial]


def test_a_search_starts_with_the_front_of_a_study_in_the_database_or_in_a_file(
    run, url, name, space
) -> None:
    run("search", "--space", space, "--trials", 8, "--study", name, "--storage", url, "--quiet")
    front = hebbevo.open_study(name, url).front()
    known = [genomes(name, url)[trial] for trial in dict.fromkeys(front.trial)]
    arguments = ("search", "--space", space, "--trials", 8, "--seed", 9, "--storage", url)
    code, _, err = run(*arguments, "--study", f"{name}-2", "--start", name)
    assert code == 0
    where = without_passwords(url)
    assert f"starts with {len(known)} genomes from the front of {name} in {where}" in err
    assert password(url) not in err
    assert genomes(f"{name}-2", url)[: len(known)] == known
    run("copy", name, "old.db", "--storage", url)
    assert run(*arguments, "--study", f"{name}-3", "--start", "./old.db", "--quiet")[0] == 0
    assert genomes(f"{name}-3", url)[: len(known)] == known
    code, _, err = run(*arguments, "--study", f"{name}-4", "--start", f"{name}-0")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"{name}-0 in {where}: ")


def test_the_environment_may_name_the_database_and_then_names_are_enough(
    run, url, name, space, monkeypatch
) -> None:
    monkeypatch.setenv("HEBBEVO_STORAGE", url)
    space.write_text(space.read_text().replace("name: small", f"name: {name}"))
    _, out, err = run("search", "--space", space, "--timeout", "0.000001")
    assert err.splitlines()[-1].endswith(f"continue with 'hebbevo resume {name}'")
    assert out.splitlines()[-1] == f"more    hebbevo resume {name}"
    assert run("resume", name, "--trials", 8, "--quiet") == (0, "", "")
    code, out, _ = run("front", name, "--format", "csv")
    assert (code, out.split(",")[0]) == (0, "trial")


def test_a_study_given_as_a_path_is_a_file_even_if_the_environment_names_a_database(
    run, space, monkeypatch
) -> None:
    monkeypatch.setenv("HEBBEVO_STORAGE", "postgresql://me@127.0.0.1:1/nothing")
    code, out, _ = run("search", "--space", space, "--trials", 8, "--study", "here/s.db")
    assert code == 0
    assert "more    hebbevo resume here/s.db --trials 16" in out
    for path in ("here/s.db", "./here/s.db"):
        assert run("front", path, "--format", "csv")[0] == 0
    assert run("report", "here/s.db")[0] == 0
    assert run("resume", "here/s.db", "--trials", 16, "--quiet")[0] == 0
    code, _, err = run("front", "s")
    assert code == 2
    assert err.startswith("s in postgresql://me@127.0.0.1:1/nothing: the database cannot be used")
    code, _, err = run("front", "here/s.db", "--storage", "postgresql://me@127.0.0.1:1/nothing")
    assert err.startswith("here/s.db in postgresql://")  # the option goes before the form of the name


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("", "--storage: this is not the URL of a database; write postgresql://"),
        ("secret", "--storage: this is not the URL of a database; write postgresql://"),
        ("postgresql:/u:secret@h/d", "--storage: this is not the URL of a database"),
        ("postgresql://u:pass@secret@127.0.0.1:1/d", "the URL has more than one @; write %40"),
        ("postgresql://u:pass@sec/ret@127.0.0.1:1/d", "the URL has more than one @"),
        ("postgresql://u:pass@@secret@127.0.0.1/d?x=1", "PGPASSWORD or to a service file"),
        ("mysql://u@secret:pass@127.0.0.1:1/d", "the URL has more than one @"),
        ("postgresql://u:%40secret@127.0.0.1:1/d", "s in postgresql://u:***@127.0.0.1:1/d"),
        ("postgresql://u:x@127.0.0.1:1/d?sslkeyphrase=secret", "sslkeyphrase=***"),
        ("postgresql://u:x@127.0.0.1:1/d?sslpassword=secret", "sslpassword=***"),
        ("postgresql://u:secret@h:port/d", "--storage: this is not the URL of a database"),
        (
            "postgres://u:secret@h/d",
            "--storage: 'postgres' is no kind of database that hebbevo can use; write",
        ),
        ("mssql://u:secret@h/d", "--storage: 'mssql' is no kind of database"),
        (
            "postgresql+nothing://u:secret@h/d",
            "the driver of postgresql+nothing is not installed",
        ),
        ("postgresql+pg8000://u:secret@h/d", 'pip install "hebbevo[postgresql]", and write postgresql://'),
        ("mysql+mysqldb://u:secret@h/d", 'pip install "hebbevo[mysql]"'),
        ("sqlite:///studies/s.db", "--storage: SQLite has no server; leave it out, and write the file"),
        (
            "postgresql://u:secret@127.0.0.1:1/d?password=secret",
            "s in postgresql://u:***@127.0.0.1:1/d?password=",
        ),
        ("mysql://u:secret@127.0.0.1:1/d", "Can't connect to MySQL server on '127.0.0.1'"),
    ],
)
@pytest.mark.parametrize("command", ["search", "resume", "front", "report", "copy"])
def test_a_storage_that_cannot_be_used_is_an_error_of_one_line_without_the_password(
    run, space, command, storage, message
) -> None:
    own = {"search": ["--space", space, "--study", "s"], "copy": ["s", "s.db"]}
    arguments = own.get(command, ["s"])
    code, out, err = run(command, *arguments, "--storage", storage)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert "secret" not in err
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("url", "driver"), [("postgresql://u:secret@h/d", "psycopg"), ("mysql://u:secret@h/d", "pymysql")]
)
def test_a_missing_driver_is_an_error_of_one_line_that_says_how_to_install_it(
    run, monkeypatch, url, driver
) -> None:
    monkeypatch.setattr(database_url, "find_spec", lambda _: None)
    for module in (driver, "psycopg2", "MySQLdb"):
        monkeypatch.setitem(sys.modules, module, None)
    code, out, err = run("front", "s", "--storage", url)
    kind = url.partition(":")[0]
    assert (code, out) == (2, "")
    assert err == (
        f"--storage: the driver of {kind} is not installed; "
        f'pip install "hebbevo[{kind}]", and write {kind}://...\n'
    )


def test_a_service_file_and_the_environment_give_what_the_url_leaves_out(run, monkeypatch, tmp_path) -> None:
    services = tmp_path / "services.conf"
    services.write_text("[studies]\nhost=127.0.0.1\nport=1\nuser=me\ndbname=d\npassword=sec@ret\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("HEBBEVO_STORAGE", "postgresql:///?service=studies")
    code, out, err = run("front", "s")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("s in postgresql:///?service=studies: the database cannot be used")
    assert "127.0.0.1" in err and "port 1 failed" in err
    assert "sec" not in err.replace("seconds", "")
    monkeypatch.setenv("HEBBEVO_STORAGE", "postgresql://me@127.0.0.1:1/d")
    monkeypatch.setenv("PGPASSWORD", "sec@ret")
    assert "ret" not in run("front", "s")[2].replace("retry", "")


def test_a_message_of_the_driver_is_shown_without_the_password() -> None:
    store = StudyDatabase("postgresql://u:p%40ss%2Fword@127.0.0.1:1/d?sslpassword=hidden", "s")
    with refused("bad: *** or ***, ***"), store.study_errors():
        raise SQLAlchemyError("bad: p@ss/word or p%40ss%2Fword, hidden")


def test_the_help_names_the_variable(run) -> None:
    for command in ("search", "resume", "front", "report"):
        assert "HEBBEVO_STORAGE" in run(command, "--help")[1]


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "a\tb", "\udcff"])
def test_an_impossible_name_is_an_error_of_one_line(run, name) -> None:
    code, out, err = run("front", name, "--storage", "postgresql://u@127.0.0.1:1/d")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("--study: ") and "write 1 to 100 printable characters" in err


def test_a_wrong_password_or_database_is_an_error_of_one_line(run, url, space) -> None:
    user, _, rest = url.partition("@")
    for wrong in (f"{user[:-3]}xyz@{rest}", f"{url}-not-there"):
        for arguments in (["search", "--space", space], ["front", "s"], ["resume", "s"]):
            code, out, err = run(*arguments, "--storage", wrong)
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert "the database cannot be used (" in err and "check --storage and the server" in err
            assert user.rpartition(":")[2][:-3] not in err


def test_a_missing_study_is_an_error_of_one_line_and_no_tables_are_made(run, empty_database, name) -> None:
    for command in ("front", "report", "resume"):
        code, out, err = run(command, name, "--storage", empty_database)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"{name} in " in err and f"no such study; 'hebbevo search --space SPACE --study {name}" in err
    with engine_of(empty_database) as engine, engine.connect() as connection:
        tables = connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
        assert tables.scalar_one() == 0


def test_a_study_of_another_program_is_refused_in_one_line_and_stays_as_it_is(run, url, name, space) -> None:
    storage = storage_of(created(StudyDatabase(url, f"other-{name}")))
    study = optuna.create_study(storage=storage, study_name=name)
    for arguments in (["search", "--space", space, "--study", name], ["front", name], ["resume", name]):
        code, out, err = run(*arguments, "--storage", url)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "hebbevo did not make this study" in err
    assert (
        study.trials,
        study.user_attrs,
        storage.get_study_system_attrs(storage.get_study_id_from_name(name)),
    ) == ([], {}, {})
    storage.engine.dispose()


def test_tables_of_another_optuna_are_an_error_of_one_line(run, empty_database, name) -> None:
    create(StudyDatabase(empty_database, name))
    with engine_of(empty_database) as engine, engine.connect() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v99'"))
    code, out, err = run("front", name, "--storage", empty_database)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "was made with another Optuna" in err


def test_a_password_may_have_any_character_and_a_reader_needs_no_right_to_write(empty_database, name) -> None:
    create(StudyDatabase(empty_database, name))
    role, odd = f"reader_{uuid4().hex}", "p{%}@:/ ?#&ä'"
    with engine_of(empty_database) as engine, engine.connect() as connection:
        quoted = odd.replace("'", "''").replace(":", r"\:")
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{quoted}'"))
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"))
        url = make_url(empty_database).set(username=role, password=odd)
        store = StudyDatabase(url.render_as_string(hide_password=False), name)
        assert reread(store) == []
        with refused(str(store), "permission denied"), store.locked():
            pytest.fail("locked")
        connection.execute(text(f"DROP OWNED BY {role}; DROP ROLE {role}"))
