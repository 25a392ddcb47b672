"""A search with three objectives: what is recorded, shown and confirmed, and that it replays."""

import json
import sqlite3
from pathlib import Path

import matplotlib.pyplot as plt
import optuna
import pandas as pd
import pytest
import torch

import hebbevo
from hebbevo.errors import StudyError
from hebbevo.report import figures
from hebbevo.report.picture import picture
from hebbevo.report.sections.decision import decision
from hebbevo.study.summary import summary_of
from tests.outer.conftest import assert_same_study

GOAL = """\
objectives: {accuracy: maximize, neurons: minimize, connections: minimize}
constraints: {multiply_adds: {max: 200}}
"""


@pytest.fixture(scope="module")
def three(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space file of 24 trials with three objectives, and a constraint on what is none."""
    from tests.conftest import SPACE

    path = tmp_path_factory.mktemp("three") / "three.yaml"
    path.write_text(SPACE.format(data=blobs) + GOAL)
    return path


@pytest.fixture(scope="module")
def study(three: Path) -> hebbevo.Study:
    return hebbevo.search(three, study=three.parent / "three.db", keep="front", replicates=1, workers=1)


def test_optuna_reads_every_measure_as_a_value_with_its_direction(study: hebbevo.Study) -> None:
    found = optuna.load_study(study_name=None, storage=f"sqlite:///{study.path}")
    assert found.metric_names == ["accuracy", "survivors", "connections", "multiply_adds"]
    assert [each.name for each in found.directions] == ["MAXIMIZE", *["MINIMIZE"] * 3]
    values = study.trials()[["accuracy", "survivors", "connections", "multiply_adds"]]
    assert [each.values for each in found.trials] == values.to_numpy().tolist()


def test_the_front_is_the_brute_force_front_of_all_three_objectives(study: hebbevo.Study) -> None:
    points = study.points()
    able = points[points.works & (points.multiply_adds <= 200)]
    assert (points.feasible == (points.multiply_adds <= 200)).all()
    measures = ["accuracy", "survivors", "connections"]
    signed = {*map(tuple, (able[measures].round(9) * [-1, 1, 1]).to_numpy())}
    expected = {
        one
        for one in signed
        if not any(all(a <= b for a, b in zip(other, one, strict=True)) for other in signed - {one})
    }
    found = study.front()
    assert {*map(tuple, (found[measures].round(9) * [-1, 1, 1]).to_numpy())} == expected
    assert len(found) == len(expected) > 3
    assert found.survivors.is_monotonic_increasing


def test_connections_are_what_the_network_of_the_point_has(study: hebbevo.Study) -> None:
    member = study.front().iloc[-1]
    net = study.champion(int(member.trial))
    total = hebbevo.count(net.network, torch.zeros(1, 6)).loc["total"]
    own = study.front().query(f"trial == {member.trial}").iloc[-1]
    assert total[["neurons_alive", "connections_alive"]].to_list() == [own.survivors, own.connections]


def test_a_longer_search_replays_what_is_recorded(study: hebbevo.Study, tmp_path: Path) -> None:
    path = tmp_path / "longer.db"
    path.write_bytes(study.path.read_bytes())
    longer = hebbevo.resume(path, trials=28, workers=1).trials()
    assert (longer.state == "complete").sum() == 28
    pd.testing.assert_frame_equal(longer[:24], study.trials())


def test_a_summary_says_of_a_study_what_the_study_says(study: hebbevo.Study) -> None:
    summary = summary_of(study.store)
    assert summary.front == len(study.front())
    assert summary.hypervolume == pytest.approx(study.hypervolume())
    assert summary.best_accuracy == study.front().accuracy.max()


def test_every_output_names_the_further_counts(study: hebbevo.Study, run) -> None:
    assert "connections" in run("front", study.path)[1]
    assert "connections_sd" in run("front", study.path, "--format", "csv")[1].splitlines()[0]
    objects = json.loads(run("front", study.path, "--format", "json")[1])
    assert [each["connections"] for each in objects] == study.front().connections.to_list()
    marks = next(trace for trace in figures.front_figure(study).data if trace.name == "front")
    assert marks.marker.colorbar.title.text == "connections"
    assert "connections" in marks.hovertext[0]


def test_a_confirmation_measures_and_shows_the_further_counts(study: hebbevo.Study, run) -> None:
    trial = int(study.front().trial.iloc[-1])
    confirmed = hebbevo.confirm(study, replicates=2, trials=[trial], workers=1).confirmation
    members, runs = confirmed.members(), confirmed.runs()
    own = runs[runs.role == "member"].groupby("epochs").connections.mean()
    assert members.confirmed_connections.to_list() == [own[epoch] for epoch in members.epoch]
    assert members.found_connections.notna().all()
    table = run("front", study.path, "--confirmed")[1].splitlines()
    titles, cells = table[0].split(), table[1].split()
    assert titles[4:7] == ["survivors", "connections", "multiply_adds"]
    assert f"{members.confirmed_connections[0]:.1f}".removesuffix(".0") in cells
    assert "found: accuracy / neurons / connections / multiply_adds of the search" in " ".join(table)
    body = decision(hebbevo.open_study(study.path)).body
    assert f"{members.confirmed_connections[0]:.1f}".removesuffix(".0") + " connections, " in body
    assert "multiply-adds, confirmed" in body


def test_the_picture_has_a_scale_of_the_third_objective(study: hebbevo.Study, monkeypatch) -> None:
    figure, axes = plt.subplots()
    monkeypatch.setattr("hebbevo.report.picture.png", lambda draw, **legend: draw(axes))
    picture(study)
    [scale] = [each for each in figure.axes if each is not axes]
    [dots] = [each for each in axes.collections if each.get_array() is not None]
    plt.close(figure)
    assert scale.get_ylabel() == "connections"
    assert len(dots.get_array()) >= 1


def test_a_study_without_its_counts_is_refused_in_one_line(study: hebbevo.Study, tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    path.write_bytes(study.path.read_bytes())
    with sqlite3.connect(path) as connection:
        connection.execute("delete from trial_values where objective = 2")
    with pytest.raises(StudyError, match=r"is damaged|not as recorded") as caught:
        hebbevo.open_study(path)
    assert "\n" not in str(caught.value)


def test_a_study_with_two_objectives_is_none_with_three_to_compare(
    study: hebbevo.Study, space: Path, tmp_path: Path
) -> None:
    two = hebbevo.search(space, study=tmp_path / "two.db", trials=8, workers=1)
    with pytest.raises(StudyError, match="the objectives are"):
        hebbevo.compare([two, study])


def test_the_name_of_what_survivors_are_changes_no_result(
    space: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    space.write_text(f"{space.read_text()}objectives: {{accuracy: maximize, neurons: minimize}}\n")
    named = hebbevo.search(space, study=tmp_path / "named.db", workers=1)
    assert_same_study(named.path, uninterrupted)
