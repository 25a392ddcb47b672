"""The examples run, from a copy of their folder, as a user would run them."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import hebbevo

EXAMPLES = Path(__file__).parent.parent / "examples"
LIBRARIES = {"plain": "torch", "with_lightning": "lightning", "with_skorch": "skorch"}
SPACES = ["residual", "wide_resnet"]
ALONE = {"pattern_completion", "denoising_autoencoder"}  # tested in `tests/nn`


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the examples."""
    return shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))


def run(folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*LIBRARIES, *SPACES, *ALONE, "notebook"}
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == {*SPACES}


@pytest.mark.parametrize("name", LIBRARIES)
def test_neurons_are_pruned_in_an_ordinary_training(name: str, folder: Path) -> None:
    if not find_spec(LIBRARIES[name]):
        pytest.skip(f"{LIBRARIES[name]} is not installed")
    done = run(folder, f"{name}.py", 6)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    totals = {line.split()[0]: line.split()[-1] for line in done.stdout.splitlines()}
    assert int(totals["neurons"]) == 256
    assert 0 < int(totals["neurons_alive"]) < 256


def test_the_cells_of_the_notebook_run_one_after_the_other(folder: Path) -> None:
    done = run(folder, "notebook.py", 10)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "trials" not in done.stderr  # no progress where there is no terminal
    study = hebbevo.open_study(folder / "studies/notebook.db")
    assert study.confirmation.is_complete
    assert study.confirmation.sentence in done.stdout
    assert re.search(r"trial \d+: \d+ neurons$", done.stdout)
    for name in ("front", "slices"):
        assert "plotly" in (folder / f"studies/notebook-{name}.html").read_text()


def test_a_network_of_the_users_own_is_searched_and_reported(folder: Path) -> None:
    """That a search with the user's code may be killed and resumed is tested in `tests.cli`."""
    done = run(
        folder, "-m", "hebbevo", "search", "--space", "residual.yaml", "--study", "whole.db",
        "--epochs", 1, "--trials", 4, "--population", 4, "--workers", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert finished(folder / "whole.db") == 4
    assert "residual:build" in (folder / "whole-report/report.html").read_text()


def finished(study: Path) -> int:
    return int((hebbevo.open_study(study).trials().state == "complete").sum())


def test_the_wide_resnet_is_searched(folder: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(folder / "noise.npz", x=rng.random((300, 3, 8, 8)), y=np.arange(300) % 3)
    done = run(
        folder, "-m", "hebbevo", "search", "--space", "wide_resnet.yaml", "--data", "noise.npz",
        "--epochs", 1, "--trials", 4, "--population", 4, "--workers", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert finished(folder / "studies/wide_resnet.db") == 4


@pytest.mark.skipif(
    not os.path.exists(os.path.join(os.environ.get("HEBBEVO_DATA", ""), "cifar10")), reason="needs CIFAR-10"
)
def test_the_small_data_set_is_part_of_cifar10(folder: Path) -> None:
    code = "from wide_resnet import small; x, y = small(); print(x.shape, y.shape)"
    assert run(folder, "-c", code).stdout.strip() == "(5000, 3, 16, 16) (5000,)"
