"""A space stands alone or after ``--space``, and everything that is wrong with it is printed."""

from pathlib import Path

import pytest
import yaml

WRONG = "version: 1\nname: a\ntask: {dataset: digitz, epochs: 0}\ngenome:\n  rate: {low: 1, high: 2}\n"


@pytest.mark.parametrize("command", ["check", "search", "window"])
def test_a_space_is_given_once(run, command: str) -> None:
    both = "--space: stamina is given too, without an option; write one of the two\n"
    assert run(command, "stamina", "--space", "usage") == (2, "", both)
    code, _, err = run(command)
    assert code == 2 and "missing; write a space file" in err and err.count("\n") == 1


def test_check_takes_both_forms(run) -> None:
    assert run("check", "stamina") == run("check", "--space", "stamina")
    assert run("check", "stamina")[0] == 0


@pytest.mark.parametrize("command", [["check"], ["search"], ["search", "--space"], ["window", "--space"]])
def test_all_problems_are_printed_a_line_each(run, command: list[str]) -> None:
    Path("a.yaml").write_text(WRONG)
    code, out, err = run(*command, "a.yaml")
    assert (code, out) == (2, "")
    places = ["a.yaml:3: task.dataset", "a.yaml:3: task.epochs", "a.yaml:5: genome.rate"]
    assert [line.rsplit(": ", line.count(": ") - 1)[0] for line in err.splitlines()] == places


def test_a_search_takes_a_space_without_an_option(run, space: Path) -> None:
    assert run("search", space, "--trials", 4, "--quiet") == (0, "", "")
    assert Path("studies/small.db").exists()


@pytest.mark.parametrize(
    ("own", "what"),
    [
        ({"task": {"dataset": "missing.npz"}}, "missing.npz"),
        (
            {"network": {"family": "hebbian_conv", "channels": [8, 8], "credit": "hebbian", "units": "redo"}},
            "redo needs layers that read these units",
        ),
    ],
)
def test_check_refuses_what_a_search_refuses_before_it_trains(run, own: dict, what: str) -> None:
    space = {
        "version": 1,
        "name": "own",
        "task": {"dataset": "digits"},
        "network": {"family": "mlp", "hidden": [8], "units": "stamina"},
        "genome": {"learning_rate": {"low": 1e-3, "high": 1e-2}},
    }
    Path("own.yaml").write_text(yaml.safe_dump(space | own))
    checked, searched = run("check", "own.yaml"), run("search", "own.yaml")
    assert checked[0] == searched[0] == 2
    assert what in checked[2]
    assert searched[2].endswith(checked[2])  # a search writes the whole path of its data
