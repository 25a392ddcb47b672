"""The command line: output, exit codes and errors of every command."""

import contextlib
import json
import os
import pty
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import click
import pandas as pd
import pytest

import hebbevo
from hebbevo.cli.commands import cli
from hebbevo.rules import AXES
from hebbevo.samplers import SAMPLERS
from hebbevo.spec import read
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Ledger
from hebbevo.study.storage.study_tables import SPEC
from tests.study.conftest import without_checksums


def test_a_search_prints_its_progress_the_front_and_the_places_of_its_files(run, space: Path) -> None:
    code, out, err = run("search", "--space", space, "--trials", 16)
    assert code == 0
    lines = err.splitlines()
    assert lines[0].startswith("0/16 trials")
    assert re.fullmatch(
        r"16/16 trials  best \d+\.\d %(; \d+\.\d %)? with [\d.]+ neurons  [\d.]+/(s|min)  in 0:0\d:\d\d",
        lines[-1],
    )
    front = hebbevo.open_study("studies/small.db").front()
    header, *rows = out.splitlines()[: len(front) + 1]
    assert header.split()[:4] == ["trial", "epoch", "accuracy", "survivors"]
    assert [int(row.split()[0]) for row in rows] == front.trial.tolist()
    assert [int(row.split()[1]) for row in rows] == front.epoch.tolist()
    assert "study   studies/small.db" in out
    assert "report  studies/small-report/report.html" in out
    assert "hebbevo resume studies/small.db --trials 32" in out
    assert Path("studies/small-report/report.html").stat().st_size > 1e6


def test_quiet_prints_nothing(run, space: Path) -> None:
    assert run("search", "--space", space, "--trials", 8, "--quiet") == (0, "", "")


@pytest.mark.usefixtures("without_report")
def test_the_same_command_again_continues_to_the_total(run, space: Path) -> None:
    run("search", "--space", space, "--trials", 8, "--quiet")
    code, _, err = run("search", "--space", space, "--trials", 16)
    assert code == 0
    assert err.splitlines()[0].startswith("8/16 trials")


@pytest.mark.usefixtures("without_report")
def test_front_prints_the_same_front_in_three_formats(run, space: Path) -> None:
    run("search", "--space", space, "--trials", 16, "--quiet")
    front = hebbevo.open_study("studies/small.db").front()
    code, out, _ = run("front", "studies/small.db", "--format", "json")
    objects = json.loads(out)
    assert code == 0
    assert [item["trial"] for item in objects] == front.trial.tolist()
    assert [item["epoch"] for item in objects] == front.epoch.tolist()
    assert [item["accuracy"] for item in objects] == front.accuracy.tolist()
    assert set(objects[0]) >= {"trial", "accuracy", "accuracy_sd", "survivors", "neurons", "genome"}
    assert objects[0]["genome"]["penalty_form"] == front["genome.penalty_form"][0]

    _, out, _ = run("front", "studies/small.db", "--format", "csv")
    Path("front.csv").write_text(out)
    pd.testing.assert_frame_equal(pd.read_csv("front.csv"), front, check_dtype=False)

    _, out, _ = run("front", "studies/small.db")
    assert out.splitlines()[0].split()[-1] == "learning_rate"


@pytest.mark.usefixtures("without_report")
def test_json_of_a_single_replicate_has_null_spread(run, space: Path) -> None:
    run("search", "--space", space, "--trials", 8, "--replicates", 1, "--quiet")
    _, out, _ = run("front", "studies/small.db", "--format", "json")
    assert {item["accuracy_sd"] for item in json.loads(out)} == {None}


def test_report_writes_into_the_given_folder(run, space: Path) -> None:
    run("search", "--space", space, "--trials", 8, "--quiet")
    code, out, _ = run("report", "studies/small.db", "-o", "page")
    assert code == 0
    assert out.split() == [f"page/{name}" for name in ("report.html", "front.csv", "trials.csv", "front.png")]
    assert all(Path(path).exists() for path in out.split())


def test_check_spaces_and_knobs_describe_space_files(run, space: Path) -> None:
    assert run("check", space)[:2] == (0, f"{space}: good; 5 genes, 24 trials of ga\n")
    code, out, _ = run("spaces")
    assert code == 0
    of_connections = ["cosine", "hebb_mask", "magnitude", "rewiring", "rigl", "set"]
    of_credit = ["alignment", "hebbian_conv", "similarity_matching", "softhebb"]
    names = sorted([*of_connections, *of_credit, "score", "stamina", "topology", "units", "usage"])
    assert [line.split()[0] for line in out.splitlines()] == names
    code, out, _ = run("knobs", "stamina")
    assert code == 0
    for knob, default in (("unactivation_penalty", "1.0"), ("penalty_form", "mean"), ("handover", "false")):
        assert f"{knob} = {default}\n" in out


def test_a_rule_is_named_alone_or_after_its_axis(run) -> None:
    code, plain, _ = run("knobs", "hebb_mask")
    assert code == 0 and plain.startswith("update_form = weighted\n")
    assert run("knobs", "connections/hebb_mask")[:2] == (0, plain)
    units, connections = (run("knobs", f"{axis}/magnitude")[1] for axis in ("units", "connections"))
    assert "max_deaths = 0.2\n" in units and "density = 0.1\n" not in units
    assert "density = 0.1\n" in connections and "max_deaths = 0.2\n" not in connections


def test_the_help_shows_the_main_commands_one_per_line(run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for command in ("search --space stamina --trials 500", "front stamina"):
        assert f"\n    hebbevo {command}\n" in out


def test_without_a_command_the_whole_help_is_printed(run) -> None:
    code, out, err = run()
    assert (code, out) == (2, "")
    assert err == run("--help")[1]


@pytest.mark.parametrize("name", cli.commands)
def test_every_help_has_examples_one_per_line_and_names_its_values(run, name: str) -> None:
    code, out, _ = run(name, "--help")
    assert code == 0 and "\b" not in out
    shown = out.partition("  Examples:\n")[2].splitlines()
    assert shown and all(line.startswith(f"    hebbevo {name}") for line in shown)
    for typeless in (" TEXT ", " INTEGER ", " FLOAT ", " PATH "):
        assert typeless not in out
    for each in shown:  # an example that does not parse is none
        words = shlex.split(each.partition(" > ")[0])[2:]
        cli.commands[name].make_parser(click.Context(cli.commands[name])).parse_args(words)


def test_the_help_of_a_search_names_every_sampler(run) -> None:
    out = " ".join(run("search", "--help")[1].split())
    assert f"How genomes are proposed: {', '.join(SAMPLERS)}." in out


def test_the_version_has_the_name_of_the_program(run, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__package__", "hebbevo")  # as for python -m hebbevo
    assert run("--version")[:2] == (0, f"hebbevo, version {hebbevo.__version__}\n")
    assert run("front")[2].startswith("hebbevo front: Missing argument 'STUDY'.")


def test_the_help_of_knobs_names_every_rule(run) -> None:
    code, out, _ = run("knobs", "--help")
    assert code == 0
    for axis, rules in AXES.items():
        assert f"  {axis}: {', '.join(rules)}\n" in out


def study_of_a_single_rule(path: str) -> None:
    """A study file of an older hebbevo, in which a network had a single rule."""
    with Ledger.create(Path(path), read("stamina"), StudyFacts(versions={}, neurons=256, chance=0.1)):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        [text] = connection.execute(
            "SELECT value_json FROM study_user_attributes WHERE key = ?", [SPEC]
        ).fetchone()
        settings = json.loads(text)
        for axis in AXES:
            del settings["network"][axis]
        settings["network"]["rule"] = "hebb_mask"
        values = json.dumps(settings), SPEC
        connection.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = ?", values)
    connection.close()
    without_checksums(Path(path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search"], "SPACE: missing; write a space file"),
        (["search", "--space", "nothing"], "there is no such file"),
        (["search", "--space", "SPACE", "--trials", "0"], "--trials: 0 is too small"),
        (["search", "--space", "SPACE", "--trials", "many"], "'many' is not a valid integer"),
        (["search", "--space", "SPACE", "--epochs", "-1"], "--epochs: -1"),
        (["search", "--space", "SPACE", "--seed", "-1"], "--seed: -1"),
        (["search", "--space", "SPACE", "--population", "1"], "--population: 1"),
        (["search", "--space", "SPACE", "--precision", "float8"], "--precision: 'float8'"),
        (["search", "--space", "SPACE", "--workers", "0"], "--workers: 0 is too small"),
        (["search", "--space", "SPACE", "--timeout", "soon"], "--timeout: 'soon' is not a length of time"),
        (["search", "--space", "SPACE", "--sampler", "gaa"], "--sampler: 'gaa'"),
        (["search", "--space", "SPACE", "--data", "nowhere.npz"], "nowhere.npz"),
        (["search", "--space", "SPACE", "--data", "table.csv"], "target"),
        (["search", "--space", "SPACE", "--study", "SPACE"], "is not a study file"),
        (["search", "--space", "SPACE", "--study", "."], "is a folder"),
        (
            ["search", "--space", "SPACE", "--study", "empty.db/x.db"],
            "(its folder is a file)",
        ),
        (["search", "--space", "SPACE", "--study", "/proc/x.db"], "/proc/x.db: cannot be written ("),
        (
            ["search", "--space", "SPACE", "--study", f"{'x' * 300}.db"],
            "(File name too long)",
        ),
        (["copy", "other.db", "/proc/x.db"], "other.db"),
        (["front", "x" * 300], ": no such study"),
        (["search", "--space", "SPACE", "--frobnicate"], "No such option"),
        (["serach"], "No such command 'serach'"),
        (["resume", "nothing.db"], "no such study"),
        (["resume", "SPACE"], "is not a study file"),
        (["front", "nothing.db"], "no such study"),
        (["front", "empty.db"], "is not a study file"),
        (["front", "other.db"], "other.db"),
        (["report", "nothing.db"], "no such study"),
        (["check", "nothing"], "there is no such file"),
        (["knobs", "stanima"], "there is no such rule; write one of stamina, usage, "),
        (["knobs", "credit/stamina"], "there is no such rule; write one of stamina, usage, "),
        (["knobs", "magnitude"], "write units/magnitude or connections/magnitude"),
        (["front", "old.db"], "network.rule: units, connections and credit have a rule each; write units: "),
        (["report", "old.db"], "write units: dense, connections: hebb_mask); open it with the hebbevo that "),
        (["resume", "old.db"], "write units: dense, connections: hebb_mask); open it with the hebbevo that "),
    ],
)
def test_a_usage_error_is_one_line_with_exit_code_2_and_makes_no_file(
    run, space: Path, arguments: list[str], message: str
) -> None:
    Path("empty.db").touch()
    study_of_a_single_rule("old.db")
    with contextlib.closing(sqlite3.connect("other.db")) as connection, connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    before = sorted(Path.cwd().rglob("*")), sorted(space.parent.glob("*"))
    code, out, err = run(*[str(space) if argument == "SPACE" else argument for argument in arguments])
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert (sorted(Path.cwd().rglob("*")), sorted(space.parent.glob("*"))) == before


@pytest.mark.usefixtures("without_report")
def test_a_front_in_an_unknown_format_is_a_usage_error(run, space: Path) -> None:
    run("search", "--space", space, "--trials", 8, "--quiet")
    code, _, err = run("front", "studies/small.db", "--format", "xml")
    assert (code, err) == (2, "--format: 'xml' is not a format; write one of table, csv, json\n")


@pytest.mark.parametrize("trials", ["0", "-5"])
@pytest.mark.usefixtures("without_report")
def test_resume_to_no_trials_is_a_usage_error(run, space: Path, trials: str) -> None:
    run("search", "--space", space, "--trials", 8, "--quiet")
    code, _, err = run("resume", "studies/small.db", "--trials", trials)
    assert code == 2
    assert err.startswith(f"--trials: {trials} is too small")


@pytest.mark.usefixtures("without_report")
def test_a_search_whose_time_is_over_succeeds_and_prints_how_to_continue(run, space: Path) -> None:
    code, out, err = run("search", "--space", space, "--timeout", "0.000001")
    assert code == 0
    assert err.splitlines()[-1] == (
        "stopped after 1e-06s: 0 of 24 trials; continue with 'hebbevo resume studies/small.db'"
    )
    assert out.splitlines()[-1] == "more    hebbevo resume studies/small.db"
    code, out, err = run("resume", "studies/small.db", "--trials", 8, "--timeout", "1h30m")
    assert (code, err.splitlines()[-1][:10]) == (0, "8/8 trials")
    *_, more, last = out.splitlines()
    assert more == "more    hebbevo resume studies/small.db --trials 16"
    advice = "'hebbevo confirm studies/small.db' trains them again"
    assert last == f"found, not confirmed: the best of 8 noisy scores; {advice}"


@pytest.mark.parametrize("timeout", ["ten", "0", "-5", "nan", "1d", ""])
@pytest.mark.usefixtures("without_report")
def test_resume_for_no_length_of_time_is_a_usage_error(run, space: Path, timeout: str) -> None:
    run("search", "--space", space, "--trials", 8, "--quiet")
    code, out, err = run("resume", "studies/small.db", "--timeout", timeout)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"--timeout: {timeout!r} is not a length of time; write seconds above 0, or")


@pytest.mark.usefixtures("without_report")
def test_without_a_feasible_trial_the_front_is_empty_and_one_line_names_the_nearest(run, space: Path) -> None:
    space.write_text(f"{space.read_text()}constraints: {{survivors: {{max: 0}}}}\n")
    _, out, err = run("search", "--space", space, "--trials", 8)
    nearest = hebbevo.open_study("studies/small.db").nearest()
    line = (
        "no trial meets the constraints (survivors at most 0); nearest: "
        f"trial {nearest.trial}, epoch {nearest.epoch}, accuracy {nearest.accuracy:.4f}, "
        f"survivors {nearest.survivors:.4g}"
    )
    assert err.splitlines()[-1] == line
    assert [line.split()[0] for line in out.splitlines()] == ["trial", "rows", "study", "report", "more"]
    for form, empty in (("csv", r"trial,epoch,accuracy,.*\n"), ("json", r"\[\]\n"), ("table", r"trial .*\n")):
        code, out, err = run("front", "studies/small.db", "--format", form)
        assert (code, err) == (0, line + "\n")
        assert re.fullmatch(empty, out)


@pytest.mark.usefixtures("without_report")
def test_a_single_objective_has_its_best_trial_after_the_front(run, space: Path) -> None:
    space.write_text(f"{space.read_text()}objectives: {{survivors: minimize}}\n")
    _, out, err = run("search", "--space", space, "--trials", 8)
    best = hebbevo.open_study("studies/small.db").best()
    assert (
        f"best    trial {best.trial}, epoch {best.epoch}, accuracy {best.accuracy:.4f}, "
        f"survivors {best.survivors:.4g} (fewest survivors)"
    ) in out.splitlines()
    assert "constraints" not in out + err


@pytest.mark.usefixtures("without_report")
def test_trials_that_were_stopped_early_are_counted_if_there_are_any(run, space: Path) -> None:
    options = ("--trials", 60, "--population", 20, "--epochs", 6, "--replicates", 1)
    code, out, err = run("search", "--space", space, *options, "--halving")
    study = hebbevo.open_study(Path("studies/small.db"))
    stopped = (study.trials().state == "stopped").sum()
    trained = study.points().groupby("trial").epoch.max().mean() / 6
    assert code == 0
    assert f"stopped {stopped} of 60 trials early: {trained:.0%} of all epochs were trained" in out
    assert f"stopped {stopped}  " in err
    whole = ("--no-halving", "--precision", "bfloat16", "--study", "whole.db")
    code, out, _ = run("search", "--space", space, *options, *whole)
    assert code == 0
    assert "stopped" not in out
    settings = hebbevo.open_study("whole.db").settings
    assert (settings["search"]["halving"], settings["task"]["precision"]) == (False, "bfloat16")


@pytest.mark.usefixtures("without_report")
def test_copies_are_counted(run, space: Path) -> None:
    head = space.read_text().split("genome:")[0]
    space.write_text(f"{head}genome:\n  penalty_form: {{choices: [mean, ratio]}}\n")
    _, _, err = run("search", "--space", space, "--trials", 8)
    assert "8/8 trials" in err and "copies 6" in err


@pytest.mark.usefixtures("without_report")
def test_a_copy_has_the_front_of_the_study(run, space: Path) -> None:
    run("search", "--space", space, "--trials", 8, "--quiet")
    assert run("copy", "studies/small.db", "copies/small.db")[:2] == (0, "study   copies/small.db\n")
    fronts = [run("front", path, "--format", "csv") for path in ("studies/small.db", "copies/small.db")]
    assert fronts[0] == fronts[1]
    code, _, err = run("copy", "studies/small.db", "copies/small.db")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("copies/small.db: is there already")


def test_a_study_without_a_result_is_said_to_have_none(run, space: Path) -> None:
    _, out, err = run("search", "--space", space, "--timeout", "0.000001")
    assert "0 of 24 trials" in err and "accuracy" not in out
    line = "studies/small.db: no trial has a result yet (it has no trials); continue it with 'hebbevo resume"
    assert run("front", "studies/small.db") == (0, "", f"{line} studies/small.db'\n")
    for form, empty in (("json", "[]\n"), ("csv", "trial,")):
        code, out, err = run("front", "studies/small.db", "--format", form)
        assert (code, out[:6].startswith(empty), err.count(line)) == (0, True, 1)
    code, out, err = run("report", "studies/small.db")
    assert (code, len(out.splitlines()), err.count(line)) == (0, 4, 1)
    _, out, err = run("resume", "studies/small.db", "--timeout", "0.000001")
    assert "0 of 24 trials" in err and "accuracy" not in out


def test_ctrl_c_prints_how_to_resume_and_exits_with_130(space: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hebbevo", "search", "--space", str(space), "--trials", "4000"]
    command += ["--workers", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("0/4000")
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "finishing the trainings under way" in rest
    last = re.fullmatch(
        r"stopped: (\d+) of 4000 trials are recorded; .*'hebbevo resume studies/small.db'",
        rest.splitlines()[-1],
    )
    assert last
    states = hebbevo.open_study(tmp_path / "studies/small.db").trials().state
    assert (states == "complete").sum() == int(last[1]) > 0
    assert set(states) <= {"complete", "running"}  # asked, but not yet under way


def test_on_a_terminal_there_is_a_live_progress_bar(space: Path, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "hebbevo", "search", "--space", str(space), "--trials", "16"]
    command += ["--workers", "1"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=follower, stdout=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"}
    )
    os.close(follower)
    shown = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            shown += os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
    os.close(leader)
    assert process.wait() == 0
    text = shown.decode()
    assert "━" in text
    assert "16/16" in text
    assert re.search(r"best \d+\.\d %", text)
    assert "neurons" in text


def test_help_imports_neither_pytorch_nor_optuna() -> None:
    script = (
        "import sys, hebbevo.cli.commands; print(*{'torch', 'optuna', 'pandas', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_command_has_help() -> None:
    for name, command in cli.commands.items():
        assert command.help, name
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{name} --{parameter.name}"


def test_public_names_are_sorted_and_there() -> None:
    assert hebbevo.__all__ == sorted(hebbevo.__all__)
    for name in hebbevo.__all__:
        assert getattr(hebbevo, name) is not None


def test_what_a_terminal_would_obey_is_written_as_an_escape() -> None:
    command = [sys.executable, "-m", "hebbevo", "front", "\x1b[2J.db"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(r"\x1b[2J.db: ")


@pytest.mark.usefixtures("without_report")
def test_a_terminal_that_lacks_a_character_still_gets_the_front(run, space: Path) -> None:
    space.write_text(space.read_text().replace("genome:", "genome:\n  activity: {choices: [activation]}", 1))
    code, _, err = run("search", "--space", space, "--trials", 8, "--quiet", "--study", "größe.db")
    assert (code, err) == (0, "")
    command = [sys.executable, "-m", "hebbevo", "front", "größe.db"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "20"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0
    assert done.stdout.decode("ascii").startswith("trial")
