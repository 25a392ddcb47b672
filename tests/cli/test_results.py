"""The lines after a search, of hand-made studies."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from hebbevo.cli.results import (
    chance_line,
    decoding_line,
    empty_line,
    front_objects,
    print_summary,
)
from hebbevo.study.facts import StudyFacts
from hebbevo.study.ledger import Ledger
from hebbevo.study.view import Study
from tests.study.conftest import SPEC, create, result

FACTS = StudyFacts(versions={"python": "3"}, neurons=20, chance=0.1, rows={"train": 900, "validation": 269})
MIDDLE = {"rate": 1e-3, "shift": 0.0, "depth": 5, "width": 9, "kind": "plain"}
NO_FRONT = (
    "no network beats chance (accuracy 0.1000): there is no front; train for more epochs, or prune less"
)


def recorded(path: Path, values: list) -> Study:
    create(path, SPEC, FACTS)
    with Ledger.open(path) as ledger:
        ledger.open_generation(0, len(values), 0.0, [MIDDLE] * len(values))
        ledger.close_cohort(
            [result(i, each, **({} if each else {"failure": "diverged"})) for i, each in enumerate(values)]
        )
        return Study(ledger)


def summary(study: Study, capsys: pytest.CaptureFixture) -> tuple[str, str, str]:
    table = io.StringIO()
    print_summary(study, Path("s-report"), Console(file=table, width=200))
    return (table.getvalue(), *capsys.readouterr())


def test_the_summary_says_what_one_row_is_worth_and_how_healthy_the_search_is(tmp_path, capsys) -> None:
    table, out, err = summary(recorded(tmp_path / "s.db", [(0.9, 12.0), (0.5, 3.0), None]), capsys)
    assert "0.9000" in table and not err
    assert "rows    269 validation rows: one row is 0.37 points\n" in out
    assert "health  1 of 3 trials failed, most often: diverged; see the report's failures\n" in out
    assert "health  replicates 1: scores have no error bars; confirm the front" in out


def test_a_study_in_which_nothing_beats_chance_says_so_in_one_line(tmp_path, capsys) -> None:
    study = recorded(tmp_path / "s.db", [(0.1, 12.0), (0.05, 3.0)])
    assert chance_line(study) == empty_line(study) == NO_FRONT
    table, out, err = summary(study, capsys)
    assert (table, err) == ("", f"{NO_FRONT}\n")
    assert "health" not in out
    better = recorded(tmp_path / "t.db", [(0.1, 12.0), (0.2, 3.0)])
    assert chance_line(better) is empty_line(better) is None


def test_what_layers_learned_is_never_shown_without_random_weights(tmp_path, capsys) -> None:
    create(tmp_path / "s.db", SPEC, FACTS)
    decoding = {"decoding_per_layer": [0.8, 0.9], "random_decoding_per_layer": [0.7, 0.85]}
    with Ledger.open(tmp_path / "s.db") as ledger:
        ledger.open_generation(0, 2, 0.0, [MIDDLE] * 2)
        ledger.close_cohort([result(0, (0.9, 12.0), **decoding), result(1, (0.95, 18.0))])
        study = Study(ledger)
    assert study.decoding().to_dict("list") == {
        "trial": [0, 0], "layer": [1, 2], "learned": [0.8, 0.9], "random": [0.7, 0.85]
    }  # fmt: skip
    assert study.front().random_accuracy.fillna(-1).tolist() == [0.85, -1]
    assert [each["random_accuracy"] for each in front_objects(study)] == [0.85, None]
    table, out, _ = summary(study, capsys)
    assert [line.split()[:4] for line in table.splitlines()[:3]] == [
        ["trial", "epoch", "accuracy", "random"], ["0", "20", "0.9000", "0.8500"], ["1", "20", "0.9500", "-"]
    ]  # fmt: skip
    line = "a linear readout of each: 0.8000/0.9000; with random weights 0.7000/0.8500"
    assert f"layers  trial 0, {line}\n" in out


def test_a_study_of_other_rules_has_no_such_line(tmp_path, capsys) -> None:
    study = recorded(tmp_path / "s.db", [(0.9, 12.0)])
    table, out, _ = summary(study, capsys)
    assert decoding_line(study) is None
    assert "random" not in table and "layers  " not in out
