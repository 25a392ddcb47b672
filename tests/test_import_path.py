"""Nothing is imported from the current folder before a study names code there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hebbevo
from hebbevo import import_path

MODULES = ("queue", "typing", "ctypes", "json", "torch", "optuna", "sitecustomize", "usercustomize")
ENTRY_POINTS = "[torch.backends]\nhostile = hostile:run\n[sqlalchemy.dialects]\nsqlite = hostile:run\n"


OWN = """\
version: 1
name: own
task:    {{dataset: {data}, epochs: 1, batch_size: 32}}
network: {{module: "mine_net:build"}}
search:  {{sampler: random, population: 4, trials: 4, cohort_width: 1}}
genome:  {{learning_rate: {{low: 1e-3, high: 1e-2, log: true}}}}
"""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with modules and an entry point that leave a trace when they are imported."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in (*MODULES, "hostile"):
        (folder / f"{name}.py").write_text(f"open({str(folder)!r} + '/ran_{name}', 'w')\nraise ImportError\n")
    (folder / "hostile-1.dist-info").mkdir()
    (folder / "hostile-1.dist-info" / "METADATA").write_text("Name: hostile\nVersion: 1\n")
    (folder / "hostile-1.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.chdir(folder)
    return folder


def run(*words: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


def test_a_search_and_its_workers_import_nothing_from_the_current_folder(hostile: Path, space: Path) -> None:
    space.write_text(space.read_text().replace("replicates: 2", "replicates: 2, cohort_width: 4"))
    where = ["--study", "s.db", "--executor", "local", "--workers", "2"]
    run("-m", "hebbevo", "search", "--space", str(space), "--trials", "8", *where)
    run("-m", "hebbevo", "resume", "s.db", "--trials", "16", "--executor", "local", "--workers", "1")
    assert not [*hostile.glob("ran_*")]
    assert len(hebbevo.open_study("s.db").trials()) == 16


def test_workers_of_ray_import_nothing_from_the_current_folder(hostile: Path, space: Path) -> None:
    where = ["--study", "s.db", "--executor", "ray", "--workers", "1"]
    run("-m", "hebbevo", "search", "--space", str(space), "--trials", "8", *where)
    assert not [*hostile.glob("ran_*")]


def test_workers_of_a_program_in_the_current_folder_do_not_either(
    hostile: Path, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of the program is its own, but its workers take the folder for code only."""
    import torch  # noqa: F401  by the program, before the folder is on its path

    space.write_text(space.read_text().replace("replicates: 2", "replicates: 2, cohort_width: 4"))
    monkeypatch.setattr(sys, "path", [*sys.path, "", str(hostile)])
    study = hebbevo.search(space, study="s.db", trials=8, executor="local", workers=2)
    assert set(study.trials().state) == {"complete"}
    assert not [*hostile.glob("ran_*")]


def test_the_current_folder_is_left_out_unless_it_is_named_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = ["", ".", str(tmp_path), str(tmp_path / "link"), str(tmp_path / "other"), "/no/such/folder"]
    for python_path in ("", ".", f"{os.pathsep}/x"):
        monkeypatch.setenv("PYTHONPATH", python_path)
        assert import_path.without_current_folder(path) == path[4:]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert import_path.without_current_folder(path) == [str(tmp_path), *path[4:]]


def test_folders_of_python_stay_even_if_they_are_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    library = os.path.dirname(os.__file__)
    monkeypatch.chdir(library)
    assert import_path.without_current_folder([library, ""]) == [library]


def test_importing_hebbevo_leaves_the_path_of_another_program_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("import hebbevo")
    (tmp_path / "mine" / "__main__.py").write_text("import beside")
    (tmp_path / "beside.py").touch()
    done = subprocess.run([sys.executable, "-m", "mine"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_beside_code_that_is_allowed_no_other_file_is_imported_by_workers(
    hostile: Path, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files with the names of Python's modules do no harm, and what the named module imports is found."""
    (
        hostile / "torch.py"
    ).unlink()  # like any Python program, user code prefers this one to the installed one
    (hostile / "optuna.py").unlink()
    (hostile / "mine_helper.py").write_text("WIDTH = 5\n")
    (hostile / "mine_net.py").write_text(
        "import json, queue, typing, wave\nfrom torch import nn\nfrom mine_helper import WIDTH\n"
        "def build(input_shape, num_classes):\n"
        "    return nn.Sequential(nn.Linear(*input_shape, WIDTH), nn.ReLU(), nn.Linear(WIDTH, num_classes))\n"
    )
    (hostile / "wave.py").write_text((hostile / "json.py").read_text().replace("ran_json", "ran_wave"))
    text = space.read_text()
    data = text.partition("dataset: ")[2].partition(",")[0]
    space.write_text(OWN.format(data=data))
    for executor in ("local", "ray"):
        where = ["--study", f"{executor}.db", "--executor", executor, "--workers", "1"]
        run("-m", "hebbevo", "search", "--space", str(space), *where)
        assert {*hebbevo.open_study(f"{executor}.db").trials().state} == {"complete"}
    assert not [*hostile.glob("ran_*")]
