"""``hebbevo window``: a new study, the same again, an existing one, and what is refused."""

from pathlib import Path

import pytest

import hebbevo
from hebbevo.study.window import TRIALS


def test_a_space_is_searched_and_the_sentence_comes_last(run, space: Path) -> None:
    code, out, err = run("window", space, "--trials", 12, "--epochs", 1, "--workers", 1)
    assert code == 0
    assert "12/12 trials" in err
    lines = out.splitlines()
    assert "study   studies/small-window.db" in lines
    assert "12 trials that the sampler did not choose are too few" in lines[-1]
    assert lines[-1].endswith("'")
    study = hebbevo.open_study("studies/small-window.db")
    assert study.settings["search"]["sampler"] == "latin_hypercube"
    assert len(study.window().trials) == 12
    assert study.window().sentence == lines[-1]


@pytest.mark.usefixtures("without_report")
def test_the_same_command_continues_and_a_study_is_only_read(run, space: Path) -> None:
    run("window", space, "--trials", 12, "--epochs", 1, "--workers", 1, "--quiet")
    code, out, _ = run("window", space, "--trials", 20, "--epochs", 1, "--workers", 1)
    assert code == 0
    before = Path("studies/small-window.db").read_bytes()
    code, again, err = run("window", "studies/small-window.db")
    assert (code, err) == (0, "")
    assert again.splitlines()[-1] == out.splitlines()[-1]
    assert again.splitlines()[-1].startswith("20 trials")
    assert "usable: at least 50 % of the neurons gone, accuracy within 5 points of the best" in again
    assert Path("studies/small-window.db").read_bytes() == before


def test_quiet_prints_nothing(run, space: Path) -> None:
    assert run("window", space, "--trials", 4, "--epochs", 1, "--workers", 1, "--quiet") == (0, "", "")


@pytest.mark.usefixtures("without_report")
def test_of_a_search_only_the_first_generation_counts(run, space: Path) -> None:
    run("search", "--space", space, "--quiet")
    population = hebbevo.open_study("studies/small.db").settings["search"]["population"]
    _, out, _ = run("window", "studies/small.db")
    assert out.splitlines()[-1].startswith(f"{population} trials that the sampler did not choose")
    assert "run 'hebbevo window SPACE'" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SPACE", "--knob", "wobble"], "knob: there is no numeric gene 'wobble'; known: "),
        (["SPACE", "--by", "wobble"], "by: there is no gene with few values 'wobble'; known: "),
        (["SPACE", "--min-lost", "2"], "min-lost: 2 is not possible; write a number from 0 to 1"),
        (["SPACE", "--sampler", "ga"], "No such option '--sampler'"),
        (["missing.yaml"], "missing.yaml: there is no such file"),
        (["missing.db"], "missing.db"),
        (["missing.db", "--trials", "9"], "--trials: the study missing.db is only read"),
        (["missing.db", "--gpus-per-worker", "1"], "--gpus-per-worker: the study missing.db is only read"),
    ],
)
def test_what_cannot_be_is_one_line_and_makes_no_file(run, space: Path, arguments, message) -> None:
    code, out, err = run("window", *[str(space) if each == "SPACE" else each for each in arguments])
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert list(Path.cwd().iterdir()) == []


def test_by_default_there_are_25_trials_for_each_half_decade_and_form() -> None:
    assert TRIALS == 8 * 4 * 25
