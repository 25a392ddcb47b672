"""What a shell is given for what the user has begun, as Click's own completion asks for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.shell_completion import ShellComplete

from hebbevo.cli.commands import cli
from hebbevo.rules import AXES
from hebbevo.samplers import SAMPLERS
from hebbevo.spec import read, shipped
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Ledger, Result
from hebbevo.training.trial_details import TrialDetails


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with studies of four trials, of which one failed, and with other files."""
    folder = tmp_path_factory.mktemp("completion")
    spec = read("stamina")
    path = folder / "studies" / "stamina.db"
    with Ledger.create(path, spec, StudyFacts(versions={}, neurons=256, chance=0.1)) as ledger:
        records = ledger.open_generation(0, 4, 0.0, spec.space.sample(4, np.random.default_rng(0)))
        values = [(0.5, 10.0), (0.6, 12.0), None, (0.7, 14.0)]
        details = TrialDetails(), TrialDetails(failure="diverged")
        ledger.close_cohort(
            [
                Result(each.number, value, details[value is None])
                for each, value in zip(records, values, strict=True)
            ]
        )
    for copy in ("studies/both.db", "both.db", "studies/two.db", "studies/two.study", "runs/far.db"):
        (folder / copy).parent.mkdir(exist_ok=True)
        shutil.copy(path, folder / copy)
    for other in ("studies/notes.txt", "studies/fake.db", "mine.yaml", "rows.csv", "studies/.hidden.db"):
        (folder / other).write_text("no study")
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def completed(*arguments: str) -> list[str]:
    """What may stand in place of the last argument; ``FILES`` where the shell lists files."""
    *before, begun = arguments
    found = ShellComplete(cli, {}, "hebbevo", "_HEBBEVO_COMPLETE").get_completions(before, begun)
    return ["FILES" if item.type == "file" else item.value for item in found]


def test_commands_and_options_are_completed() -> None:
    assert completed("stu") == ["studies"]
    assert completed("search", "--tri") == ["--trials", "--trial-timeout"]


@pytest.mark.parametrize("command", ["front", "resume", "report", "confirm", "copy", "dashboard", "compare"])
def test_studies_are_completed_by_the_name_that_finds_them(command: str) -> None:
    names = ["studies/both.db", "stamina", "studies/two.db", "studies/two.study", "both.db"]
    assert completed(command, "") == names
    assert completed(command, "sta") == ["stamina"]
    assert completed(command, "runs/") == ["runs/far.db"]
    assert completed(command, "nothing") == ["FILES"]


def test_studies_are_completed_in_the_folder_that_is_begun() -> None:
    assert completed("front", "./b") == ["./both.db"]
    assert completed("search", "--study", "sta") == ["stamina"]
    assert completed("search", "--start", "sta") == ["stamina"]
    assert completed("compare", "stamina", "bo") == ["both.db"]


def test_spaces_are_completed_by_name_and_by_file() -> None:
    assert completed("search", "--space", "") == [*shipped(), "mine.yaml"]
    assert completed("check", "us") == ["usage"]
    assert completed("window", "mi") == ["mine.yaml"]
    assert completed("window", "both") == ["both.db"]


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["search", "--sampler", ""], [*SAMPLERS]),
        (["search", "--sampler", "nsga"], ["nsga2", "nsga3"]),
        (["search", "--executor", ""], ["auto", "local", "ray"]),
        (["search", "--precision", "b"], ["bfloat16"]),
        (["search", "--kind", ""], ["classification", "regression"]),
        (["search", "--data", "fashion"], ["fashion_mnist"]),
        (["search", "--data", "ro"], ["rows.csv"]),
        (["front", "--format", ""], ["table", "csv", "json"]),
        (["window", "--format", "j"], ["json"]),
        (["compare", "--format", "c"], ["csv"]),
        (["studies", "--format", "t"], ["table"]),
        (["knobs", "units/"], ["units/magnitude", "units/random"]),
        (["confirm", "stamina", "--trial", ""], ["0", "1", "3"]),
        (["confirm", "studies/stamina.db", "--trial", "3"], ["3"]),
        (["confirm", "fake", "--trial", ""], []),
        (["confirm", "nothing", "--trial", ""], []),
    ],
)
def test_values_are_completed(arguments: list[str], values: list[str]) -> None:
    assert completed(*arguments) == values


def test_every_rule_is_completed() -> None:
    assert {name.rpartition("/")[2] for name in completed("knobs", "")} == {
        name for rules in AXES.values() for name in rules
    }


@pytest.mark.parametrize(
    "words", [["stu"], ["front", "sta"], ["search", "--sampler", "nsga"], ["knobs", "st"]]
)
def test_completion_imports_nothing_large(words: list[str]) -> None:
    script = (
        "import sys\n"
        "from click.shell_completion import ShellComplete\n"
        "from hebbevo.cli.commands import cli\n"
        "*before, begun = sys.argv[1:]\n"
        "found = ShellComplete(cli, {}, 'hebbevo', '').get_completions(before, begun)\n"
        "assert [item for item in found if item.type == 'plain']\n"
        "print(*{'numpy', 'pandas', 'optuna', 'sqlalchemy', 'pydantic', 'torch'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_a_study(tmp_path: Path) -> None:
    program = tmp_path / "hebbevo"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m hebbevo "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(_HEBBEVO_COMPLETE=bash_source hebbevo)"\n'
        "COMP_WORDS=(hebbevo front sta) COMP_CWORD=2\n"
        "_hebbevo_completion hebbevo 2>/dev/null\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "stamina\n"
