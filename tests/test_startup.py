"""What a command imports before it does something: a short command must not wait for large libraries."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hebbevo.rules import AXES
from hebbevo.samplers import SAMPLERS
from hebbevo.spec import read
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Ledger, Result
from hebbevo.training.trial_details import TrialDetails

LARGE = {
    "deap",
    "lightning",
    "matplotlib",
    "moocore",
    "numpy",
    "optuna",
    "pandas",
    "plotly",
    "pooch",
    "pydantic",
    "ray",
    "scipy",
    "sklearn",
    "skorch",
    "sqlalchemy",
    "torch",
}


def imported(*arguments: object) -> set[str]:
    """The large libraries that a command line imports in a process of its own."""
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from hebbevo.cli.commands import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout
    return LARGE & set(done.stderr.splitlines()[-1].split())


@pytest.fixture
def study(tmp_path: Path) -> Path:
    spec = read("stamina")
    path = tmp_path / "s.db"
    with Ledger.create(path, spec, StudyFacts(versions={}, neurons=256, chance=0.1)) as ledger:
        records = ledger.open_generation(0, 4, 0.0, spec.space.sample(4, np.random.default_rng(0)))
        ledger.close_cohort(
            [Result(record.number, (0.5, 10.0 - record.number), TrialDetails()) for record in records]
        )
    return path


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["search", "--help"], ["front", "--help"]])
def test_help_needs_no_large_library(arguments) -> None:
    assert imported(*arguments) == set()


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_front_needs_nothing_to_train_or_to_draw_with(study, form) -> None:
    needed = {"moocore", "numpy", "optuna", "pandas", "pydantic", "sqlalchemy"}
    assert imported("front", study, "--format", form) == needed


def test_spaces_and_knobs_are_listed_without_what_trains_and_searches() -> None:
    commands = ["spaces", *(f"knobs {axis}/{rule}" for axis, rules in AXES.items() for rule in rules)]
    script = (
        "import sys\nfrom hebbevo.cli.commands import cli\n"
        "for line in sys.argv[1:]:\n"
        "    cli(line.split(), standalone_mode=False)\n"
        "    print(line + ':', *sys.modules, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", script, *commands]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = dict(line.split(":", 1) for line in done.stderr.splitlines())
    assert [*seen] == commands
    for line, modules in seen.items():
        assert LARGE & set(modules.split()) <= {"numpy", "pydantic"}, line


def test_every_sampler_is_known_to_a_check_before_it_is_imported(tmp_path: Path) -> None:
    lists = {name: list(entry.knobs.values()) for name, entry in SAMPLERS.items()}
    for name, known in lists.items():
        settings = ", ".join(f"{knob.name}: {str(knob.default).lower()}" for knob in known)
        path = tmp_path / f"{name}.yaml"
        path.write_text(
            "version: 1\nname: x\ntask: {dataset: digits}\ngenome: {warmup: {low: 1, high: 9, type: int}}\n"
            f"search: {{sampler: {name}, settings: {{{settings}}}}}\n"
        )
    script = (
        "import sys\nfrom hebbevo.spec import read\n"
        "for path in sys.argv[1:]:\n    read(path)\nprint(*sys.modules)\n"
    )
    command = [sys.executable, "-c", script, *map(str, tmp_path.glob("*.yaml"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert LARGE & set(done.stdout.split()) == {"numpy", "pydantic"}


def test_a_search_begins_without_what_only_its_later_generations_need() -> None:
    script = "import sys, hebbevo.api; hebbevo.api.data.load('digits'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    later = {"torch", "sklearn", "scipy.linalg", "scipy.optimize", "scipy.stats", "matplotlib", "plotly"}
    assert not later & set(done.stdout.split())


def test_neither_ray_nor_a_computer_algebra_system_is_imported_by_a_command_that_needs_none(
    tmp_path: Path,
) -> None:
    few = "--trials 4 --population 4 --epochs 1 --sampler random --workers 1 --quiet"
    commands = [
        f"search --space stamina {few} --study s.db",
        "resume s.db --trials 5 --workers 1 --quiet",
        "confirm s.db --replicates 2 --workers 1 --quiet",
        "front s.db",
        "report s.db -o page",
        "window s.db",
        "copy s.db t.db",
        "compare s.db t.db",
        "studies .",
        "check stamina",
        "spaces",
        "knobs stamina",
    ]
    script = (
        "import sys\nfrom hebbevo.cli.commands import cli\n"
        "for line in sys.argv[1:]:\n"
        "    try:\n        cli(line.split(), standalone_mode=False)\n"
        "    except Exception as error:\n        print('ended by', line, repr(error), file=sys.stderr)\n"
        "print('\\n' + ' '.join(sys.modules))\n"
    )
    command = [sys.executable, "-c", script, *commands]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "ended by" not in done.stderr, done.stderr
    assert (tmp_path / "t.db").exists()
    modules = set(done.stdout.splitlines()[-1].split())
    assert "hebbevo.execution.dispatch" in modules
    assert not {"ray", "lightning", "skorch", "pooch", "sympy"} & modules
