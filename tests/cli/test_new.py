"""``hebbevo new`` writes a file that the other commands take, and replaces none unasked."""

import os
from pathlib import Path

import numpy as np
import pytest

from hebbevo.spec import read


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    rows = [
        f"{value:.3f},{place % 2}" for place, value in enumerate(np.random.default_rng(0).normal(size=60))
    ]
    path.write_text("\n".join(["a,label", *rows]))
    return path


def test_it_says_what_it_has_written_and_what_to_do_next(run, data: Path) -> None:
    code, out, err = run("new", "my space.yaml", "--data", data, "--target", "label")
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        f"data    {data}: 40 training rows of 1 features, 2 classes",
        "next    hebbevo check 'my space.yaml'",
        "        hebbevo search 'my space.yaml'",
    ]
    spec = read("my space.yaml")
    assert out.splitlines()[0] == (
        f"space   my space.yaml: 8 genes, {spec.search.trials} trials of {spec.task.epochs} epochs"
    )
    assert run("check", "my space.yaml")[0] == 0
    assert os.listdir() == ["my space.yaml"]


def test_a_file_that_is_there_stays_unless_force_is_given(run) -> None:
    Path("mine.yaml").write_text("mine")
    what = "mine.yaml: is there already; write another name, or --force to replace it\n"
    assert run("new", "mine.yaml") == (2, "", what)
    assert Path("mine.yaml").read_text() == "mine"
    assert run("new", "mine.yaml", "--force")[0] == 0
    assert read("mine.yaml").task.dataset == "digits"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mine.txt"], "mine.txt: a space file ends in .yaml; write mine.yaml"),
        (["mine"], "mine: a space file ends in .yaml; write mine.yaml"),
        (["a/mine.yaml"], "a/mine.yaml: there is no folder a; make it, or write another place"),
        (["folder.yaml", "--force"], "folder.yaml: is a directory; write another name"),
        (
            ["mine.yaml", "--kind", "cluster"],
            "--kind: 'cluster' is not known; write classification or regression",
        ),
        (
            ["mine.yaml", "--module", "mine.py"],
            "--module: 'mine.py' does not name code; write package.module:name",
        ),
        (
            ["mine.yaml", "--data", "none.csv", "--target", "y"],
            "none.csv: there is no such file; write the path of",
        ),
        (["mine.yaml", "--data", "a\udcff.csv", "--target", "y"], "a\\udcff.csv: there is no such file"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_leaves_nothing(
    run, arguments: list[str], message: str
) -> None:
    Path("folder.yaml").mkdir()
    code, out, err = run("new", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message) and err.count("\n") == 1
    assert os.listdir() == ["folder.yaml"]
