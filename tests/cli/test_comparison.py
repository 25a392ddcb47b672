"""The commands ``compare``, ``studies`` and ``dashboard``."""

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

import hebbevo
from hebbevo.cli.commands import cli
from tests.study.comparison.conftest import GA, made_up, samplers  # noqa: F401

FILES = [f"{name}-{seed}.db" for name in ("ga", "random") for seed in (0, 1)]
WRITTEN = ["compare.csv", "pairs.csv", "attainment.csv", "attainment.png", "attainment.html"]


@pytest.fixture
def here(run, samplers) -> Path:  # noqa: F811
    """The studies in the folder ``studies`` of the current one."""
    shutil.copytree(samplers, "studies", ignore=shutil.ignore_patterns(".*"))
    return Path("studies")


def test_compare_prints_studies_groups_differences_and_a_sentence(run, here):
    code, out, err = run("compare", here)
    comparison = hebbevo.compare([here / name for name in FILES])
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["study", "group", "seed", "trials", "front", "best", "hypervolume"]
    assert [line.split()[0] for line in lines[1:5]] == [f"studies/{name}" for name in FILES]
    assert lines[-1] == comparison.sentence
    for row in comparison.table().to_dict("records"):
        assert f"{row['hypervolume']:.4f}  {row['hypervolume_low']:.4f} to" in out
    assert "sampler ga - sampler random" in out and "paired t-test" in out and "Wilcoxon test" in out
    assert "sampler ga is ahead of sampler random with 8 or more neurons, by up to 81 points at 20" in lines
    assert err.splitlines() == list(comparison.remarks)


def test_files_patterns_and_folders_name_the_same_studies(run, here):
    outputs = {
        run("compare", *(here / name for name in FILES), "--format", "csv"),
        run("compare", here, "--format", "csv"),
        run(
            *("compare", "--group", "sampler ga=studies/ga-*.db"),
            *("--group", "sampler random=studies/r*", "--format", "csv"),
        ),
    }
    assert len(outputs) == 1
    rows = list(csv.DictReader(io.StringIO(outputs.pop()[1])))
    assert [row["study"] for row in rows] == [f"studies/{name}" for name in FILES]


def test_json_has_everything(run, here):
    code, out, _ = run("compare", here, "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert {*found} == {
        *("sentence", "remarks", "reference", "studies", "groups", "pairs", "leads", "attainment")
    }
    assert found["groups"][0]["group"] == "sampler ga"


def test_compare_writes_its_files_into_a_folder(run, here):
    code, out, _ = run("compare", here, "-o", "out")
    assert code == 0
    assert out.splitlines()[-5:] == [f"out/{name}" for name in WRITTEN]
    assert all((Path("out") / name).stat().st_size for name in WRITTEN)
    code, out, err = run("compare", here, "-o", "out", "--format", "json")
    assert json.loads(out) and f"out/{WRITTEN[0]}" in err.splitlines()


def test_a_confirmed_hypervolume_has_a_column(run, here):
    for seed in (0, 1):
        path = here / f"ga-{seed}.db"
        path.unlink()
        made_up(GA[seed], path, seed=seed, sampler="ga", confirmed={0: [0.9, 0.91]}).write()
    out = run("compare", here)[1]
    assert out.splitlines()[0].endswith("confirmed")
    assert out.splitlines()[1].endswith("0.7156") and out.splitlines()[3].endswith("-")
    assert [row.split()[7] for row in run("studies")[1].splitlines()[1:]] == ["yes", "yes", "no", "no"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare"], "there are fewer than two studies to compare"),
        (["compare", "studies/ga-0.db"], "there are fewer than two studies"),
        (["compare", "studies/ga-0.db", "studies/ga-0.db"], "studies/ga-0.db: is there twice"),
        (["compare", "studies/ga-0.db", "none.db"], "none.db: no such study"),
        (["compare", "studies/ga-0.db", "other.db"], "other.db: cannot be compared with studies/ga-0.db: "),
        (["compare", "studies", "--group", "x"], "--group: 'x' is no group"),
        (["compare", "studies", "--format", "xml"], "--format: 'xml' is not a format"),
        (["compare", "studies", "-o", "other.db"], "other.db: the report cannot be written"),
        (["studies", "none"], "none: no such folder"),
        (["studies", "--format", "xml"], "--format: 'xml' is not a format; write one of table, csv, json"),
        (["studies", "--storage", "sqlite:///x.db"], "--storage: SQLite has no server"),
        (["studies", ".", "--storage", "postgresql://h/d"], "DIR and --storage: give one of the two"),
        (["dashboard", "none.db"], "none.db: no such study"),
        (["dashboard", "studies/ga-0.db", "--port", "99999"], "99999"),
        (["dashboard", "studies/ga-0.db", "--host", "256.0.0.1"], "--host 256.0.0.1 --port 8080"),
    ],
)
def test_a_usage_error_is_one_line_and_writes_nothing(run, here, tmp_path, arguments, message):
    made_up(GA[0], Path("other.db"), fingerprint="other").write()
    before = sorted(Path.cwd().rglob("*"))
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1
    assert sorted(Path.cwd().rglob("*")) == before


def test_studies_lists_the_folder_of_studies(run, here):
    (here / "damaged.db").write_bytes((here / "ga-0.db").read_bytes()[:20_000])
    code, out, err = run("studies")
    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    assert header.split()[:6] == ["study", "trials", "front", "best", "survivors", "hypervolume"]
    assert [row.split()[0] for row in rows[:5]] == [
        f"studies/{name}" for name in sorted([*FILES, "damaged.db"])
    ]
    hypervolume = hebbevo.open_study("studies/ga-0.db").hypervolume()
    assert rows[1].split()[1:8] == ["2/2", "2", "0.9000", "20", f"{hypervolume:.4f}", "complete", "no"]
    assert rows[5].startswith("damaged  studies/damaged.db: ") and len(rows) == 6


def test_the_list_of_studies_in_other_formats_is_the_table_of_python(run, here):
    table = hebbevo.studies()
    rows = list(csv.DictReader(io.StringIO(run("studies", "--format", "csv")[1])))
    objects = json.loads(run("studies", here, "--format", "json")[1])
    for found in (rows, objects):
        assert [each["study"] for each in found] == table["study"].to_list()
        assert [float(each["hypervolume"]) for each in found] == table["hypervolume"].to_list()
        assert all(each["last_result"].endswith("Z") for each in found)


def test_a_folder_without_studies_says_so(run, tmp_path):
    assert run("studies", tmp_path)[0] == 0
    assert run("studies", Path.cwd()) == (0, "", f"{Path.cwd()}: there are no studies\n")


def test_names_are_shown_as_text(run, here):
    shutil.copy(here / "ga-0.db", here / "red\x1b[31m.db")
    for command in (("studies",), ("compare", here)):
        out = run(*command)[1]
        assert ("\x1b" not in out and r"red\x1b[31m.db" in out) or "twice" in out


def test_the_dashboard_prints_where_it_is_until_ctrl_c(run, here, monkeypatch):
    pytest.importorskip("optuna_dashboard")
    from hebbevo.study.dashboard import DashboardServer

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(DashboardServer, "serve_forever", interrupted)
    code, out, err = run("dashboard", here / "ga-0.db", "--port", 0)
    assert out.startswith("dashboard  http://127.0.0.1:") and out.count("\n") == 1
    assert (code, err) == (130, "\nstopped\n")


def test_without_optuna_dashboard_the_command_that_installs_it_is_named(run, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    code, out, err = run("dashboard", here / "ga-0.db")
    assert (code, out) == (2, "")
    assert err == 'dashboard: optuna-dashboard is not installed; pip install "hebbevo[dashboard]"\n'


@pytest.mark.parametrize("command", ["compare", "studies"])
def test_a_shell_completes_formats(command):
    completion = ShellComplete(cli, {}, "hebbevo", "_HEBBEVO_COMPLETE")
    found = [item.value for item in completion.get_completions([command, "--format"], "")]
    assert found == ["table", "csv", "json"]
