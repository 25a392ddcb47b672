"""What stands below a cell. IPython is not needed for hebbevo, so a stand-in receives what is displayed."""

from pathlib import Path

import hebbevo
from hebbevo.display import notebook as module
from hebbevo.display.notebook import is_notebook, shown_in_notebook
from tests.report.conftest import Document


def progress(trials: int, notice: str = "") -> hebbevo.Progress:
    return hebbevo.Progress(trials, 0, 0, 20, 1, 3, 0.5, trials, 60.0, notice)


def test_a_search_in_a_notebook_shows_one_output_that_ends_complete(notebook, space: Path, tmp_path) -> None:
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=16)
    [first, *_, last] = notebook.html
    assert 'max="16"' in first and "value" not in first  # such a bar moves until there is a result
    assert 'value="16" max="16"' in last
    assert f"best {100 * study.front().accuracy.max():.1f} %" in last
    assert notebook.plain[-1].startswith("16/16 trials")
    hebbevo.resume(study, trials=24)
    assert 'value="24" max="24"' in notebook.html[-1]


def test_a_search_with_nothing_left_to_do_displays_nothing(notebook, uninterrupted: Path) -> None:
    shown = len(notebook.html)
    hebbevo.resume(uninterrupted)
    assert len(notebook.html) == shown


def test_updates_are_few_but_the_last_one_comes(notebook) -> None:
    with shown_in_notebook() as show:
        for trials in range(20):
            show(progress(trials))
    assert len(notebook.html) < 10
    assert 'value="19"' in notebook.html[-1]


def test_notices_stay_and_are_text(notebook, monkeypatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    with shown_in_notebook() as show:
        show(progress(0, "<script>alert(1)</script> \x1b[2J"))
        show(progress(5, "second"))
        show(progress(6))
    page = Document(notebook.html[-1])
    assert "script" not in {tag for tag, _ in page.elements}
    assert "<script>alert(1)</script> \\x1b[2J" in page.text
    assert page.text.endswith("second")
    assert notebook.plain[-1].splitlines()[1:] == ["second", notebook.plain[-1].splitlines()[-1]]


def test_ipython_on_a_terminal_is_no_notebook(ipython_on_a_terminal) -> None:
    assert not is_notebook()


def test_without_ipython_there_is_no_notebook() -> None:
    assert not is_notebook()
