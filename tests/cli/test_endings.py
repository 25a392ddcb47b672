"""How a search ends: with failures only, with nothing to do, by Ctrl-C; and what is said then."""

import json
import os
import signal
from pathlib import Path

import pytest

import hebbevo
from hebbevo.errors import SearchInterrupted
from hebbevo.outer.driver import Driver


@pytest.fixture
def diverging(space: Path) -> Path:
    """A space in which every training fails."""
    text = space.read_text().replace(
        "{low: 3e-3, high: 3e-2, log: true}", "{low: 1e17, high: 1e19, log: true}"
    )
    space.write_text(text)
    return space


@pytest.mark.usefixtures("without_report")
def test_a_search_whose_trials_all_failed_fails_and_says_why(run, diverging: Path) -> None:
    line = "studies/small.db: every trial failed; trial 0: replicate 0: the loss became NaN or infinite"
    search = ("search", "--space", diverging, "--trials", 8, "--epochs", 1)
    code, out, err = run(*search, "--quiet")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(line)
    code, out, err = run("resume", "small")
    assert (code, err.count("every trial failed")) == (1, 1)
    assert err.splitlines()[-1].startswith(line)
    assert "more    hebbevo resume studies/small.db --trials 16" in out
    code, _, err = run(*search, "--confirm", "--quiet")
    assert code == 1
    assert err.startswith("not confirmed: no network is on the front\n")


@pytest.mark.usefixtures("without_report")
def test_a_window_whose_trials_all_failed_fails(run, diverging: Path) -> None:
    code, _, err = run("window", diverging, "--trials", 4, "--epochs", 1, "--quiet")
    assert code == 1
    assert err.startswith("studies/small-window.db: every trial failed; trial 0: ")


@pytest.mark.usefixtures("without_report")
def test_a_finished_study_that_is_asked_for_no_more_says_so(run, space: Path) -> None:
    run("search", "--space", space, "--trials", 8, "--quiet")
    line = "studies/small.db: has all its 8 trials, and nothing was trained; --trials N asks for more\n"
    for arguments in (["resume", "small"], ["search", "--space", space, "--trials", 8]):
        code, out, err = run(*arguments)
        assert (code, err) == (0, line)
        assert "more    hebbevo resume studies/small.db --trials 16" in out
        assert run(*arguments, "--quiet") == (0, "", "")


def interrupted_after(monkeypatch: pytest.MonkeyPatch, cohorts: int) -> None:
    """Press Ctrl-C after so many cohorts."""
    close, count = Driver._close, 0

    def closing(driver, *arguments):
        nonlocal count
        close(driver, *arguments)
        count += 1
        if count == cohorts:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Driver, "_close", closing)


def test_after_ctrl_c_the_front_so_far_is_printed_and_the_last_line_says_what_is_next(
    run, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_after(monkeypatch, 3)
    code, out, err = run("search", "--space", space)
    study = hebbevo.open_study("small")
    assert code == 130
    assert out.splitlines()[0].split()[:2] == ["trial", "epoch"]
    assert len(out.splitlines()) == len(study.front()) + 2
    assert out.splitlines()[-1] == "report  hebbevo report studies/small.db"
    done = (study.trials().state == "complete").sum()
    said = f"stopped: {done} of 24 trials are recorded; continue with 'hebbevo resume studies/small.db'"
    assert err.splitlines()[-1] == said


def test_in_python_an_interrupted_search_has_its_study(space: Path, tmp_path, monkeypatch) -> None:
    interrupted_after(monkeypatch, 3)
    with pytest.raises(SearchInterrupted) as caught:
        hebbevo.search(space, study=tmp_path / "s.db", watch=None)
    assert isinstance(caught.value.study, hebbevo.Study)
    assert len(caught.value.study.trials()) >= 8


@pytest.mark.usefixtures("without_report")
def test_the_time_of_all_runs_is_recorded(run, space: Path) -> None:
    run("search", "--space", space, "--trials", 8, "--quiet")
    first = hebbevo.open_study("small").wall_seconds
    run("resume", "small", "--trials", 16, "--quiet")
    both = hebbevo.open_study("small").wall_seconds
    assert 0 < first < both
    run("resume", "small", "--quiet")
    assert hebbevo.open_study("small").wall_seconds == both
    run("copy", "small", "copy.db")
    assert hebbevo.open_study("copy.db").wall_seconds == both


@pytest.mark.usefixtures("without_report")
def test_a_window_is_printed_in_three_formats(run, space: Path) -> None:
    code, out, _ = run("window", space, "--trials", 8, "--epochs", 1, "--format", "json")
    plain = json.loads(out)
    window = hebbevo.open_study("studies/small-window.db").window()
    assert code == 0
    assert plain["sentence"] == window.sentence
    assert plain["usable"]["text"] == window.definition.text
    assert [each["trials"] for each in plain["shares"]] == window.shares["trials"].to_list()
    _, table, _ = run("window", "studies/small-window.db", "--format", "csv")
    assert table.splitlines()[0] == ",".join(window.shares.columns)
    assert len(table.splitlines()) == len(window.shares) + 1
