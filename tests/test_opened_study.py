"""A study as users have it: what it shows in a notebook, and what can be done with it anywhere."""

import asyncio
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

import hebbevo
from hebbevo.errors import StudyError, UsageError
from hebbevo.study import view
from tests.outer.conftest import assert_same_study


@pytest.fixture
def study(uninterrupted: Path) -> hebbevo.Study:
    return hebbevo.open_study(uninterrupted)


def test_whatever_gives_a_study_gives_one_with_all_methods(space: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    for study in (
        hebbevo.search(space, study=path, trials=8),
        hebbevo.resume(path, trials=16),
        hebbevo.open_study(path),
    ):
        assert type(study) is hebbevo.Study
        assert isinstance(study, view.Study)
    assert repr(study) == f"Study({str(path)!r}, trials=16, front={len(study.front())})"


def test_a_study_that_was_read_can_be_continued_and_read_anew(space: Path, tmp_path: Path) -> None:
    first = hebbevo.search(space, study=tmp_path / "s.db", trials=8)
    assert len(hebbevo.resume(first, trials=16).trials()) == 16
    assert len(first.trials()) == 8
    assert len(hebbevo.open_study(first).trials()) == 16


def test_a_study_can_be_copied_and_sent_to_another_process(study: hebbevo.Study) -> None:
    for other in (copy.copy(study), copy.deepcopy(study), pickle.loads(pickle.dumps(study))):
        assert type(other) is hebbevo.Study
        pd.testing.assert_frame_equal(other.front(), study.front())
        pd.testing.assert_frame_equal(other.trials(), study.trials())
        assert other.path == study.path and other._repr_html_() == study._repr_html_()


def test_a_report_is_written_beside_the_study_or_where_it_is_wanted(study, tmp_path: Path) -> None:
    beside = study.report()
    assert beside[0] == study.path.with_name("uninterrupted-report") / "report.html"
    page, *_ = study.report(str(tmp_path / "own"))
    assert page == tmp_path / "own/report.html"
    assert page.read_text() == beside[0].read_text()


def test_a_study_is_a_table_in_a_notebook(study: hebbevo.Study) -> None:
    assert f"{len(study.front())} networks" in study._repr_html_()


def test_its_figures_are_methods(study: hebbevo.Study) -> None:
    assert study.plot.window().data and study.plot.front().data and study.plot.slices("learning_rate").data


@pytest.mark.usefixtures("short_tuning")
def test_a_confirmed_study_has_its_confirmation_and_stays_the_same_object(
    space: Path, tmp_path: Path
) -> None:
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=8)
    found, trial = study.front(), int(study.front().trial.iloc[0])
    seen: list[object] = []
    returned = study.confirm(replicates=2, trials=[trial], workers=1, watch=seen.append)
    assert returned is study and study.confirmation.is_complete
    pd.testing.assert_frame_equal(study.front(), found)
    assert set(study.front(confirmed=True).trial) == {trial}
    assert seen[-1].done == seen[-1].total > 0
    assert "trainings of each network" in study._repr_html_()
    again = hebbevo.confirm(study, replicates=2, trials=[trial])
    assert type(again) is hebbevo.Study and again.confirmation.is_complete
    assert hebbevo.open_study(study).confirmation is not None


def test_a_study_gives_the_network_of_a_member_of_its_front(study: hebbevo.Study) -> None:
    front = study.front()
    most = study.champion(max_survivors=front.survivors.max())
    assert most.figures.trial == front.trial.iloc[-1] and most.figures.epoch == front.epoch.iloc[-1]
    assert most.figures.recorded_accuracy == pytest.approx(front.accuracy.iloc[-1])
    knee = study.champion()
    assert (knee.figures.trial, knee.figures.epoch) in set(zip(front.trial, front.epoch, strict=True))
    with pytest.raises(UsageError, match="its front has not been confirmed"):
        study.champion(confirmed=True)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"replicates": "5"}, "--replicates: '5' is not a whole number; write one of 2 or more"),
        ({"watch": 5}, "watch: 5 cannot be called; write a function, or None for no display"),
        ({"allow_code": "yes"}, "allow_code: 'yes' is no permission; write True or False, or a function"),
        ({"workers": "2"}, "--workers: '2' is not a whole number; write one"),
    ],
)
def test_a_confirmation_refuses_options_of_a_wrong_type(study, options: dict, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        study.confirm(**options)
    assert str(caught.value) == line
    with pytest.raises(TypeError, match="did you mean replicates"):
        study.confirm(replicate=2)


def test_what_is_confirmed_is_a_study() -> None:
    with pytest.raises(StudyError, match=r"'s.db' is of type str; open it first, with hebbevo.open_study"):
        hebbevo.confirm("s.db")


@pytest.mark.parametrize("wrong", [5, None, b"s.db", ["s.db"]])
@pytest.mark.parametrize("function", [hebbevo.open_study, hebbevo.resume])
def test_what_is_no_path_is_refused_in_one_line(function, wrong) -> None:
    with pytest.raises(StudyError) as caught:
        function(wrong)
    kind = type(wrong).__name__
    assert str(caught.value) == f"study: {wrong!r} is of type {kind}; write the path of a file"


def test_a_search_runs_in_a_thread_and_two_at_a_time(
    space: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / "one.db", tmp_path / "two.db"]
    with ThreadPoolExecutor(2) as threads:
        for study in threads.map(lambda path: hebbevo.search(space, study=path), paths):
            assert_same_study(study.path, uninterrupted)


def test_a_search_runs_inside_an_event_loop_and_beside_it(
    space: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    async def cell() -> list[hebbevo.Study]:  # as Jupyter runs the code of a cell
        inside = hebbevo.search(space, study=tmp_path / "inside.db")
        beside = await asyncio.to_thread(hebbevo.search, space, study=tmp_path / "beside.db")
        return [inside, beside]

    for study in asyncio.run(cell()):
        assert_same_study(study.path, uninterrupted)
