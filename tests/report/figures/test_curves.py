"""The curves of trainings, on a search of two trials under feedback alignment."""

import numpy as np
import pytest

import hebbevo
from hebbevo.report.figures.curves import angle_columns, curves_figure
from hebbevo.report.sections.curves import curves


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    space = {
        "name": "angles",
        "task": {"dataset": "digits", "epochs": 2},
        "network": {"hidden": [8], "units": "dense", "credit": "kolen_pollack"},
        "search": {"sampler": "random", "population": 2, "trials": 2},
        "genome": {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}},
    }
    file = tmp_path_factory.mktemp("angles") / "study.db"
    return hebbevo.search(space, study=file, workers=1, watch=None)


def test_the_angles_of_every_layer_are_drawn_below_accuracy_and_survivors(study):
    assert angle_columns(study) == {"angle.1": "angle of layer 1", "angle.2": "angle of layer 2"}
    trial = int(study.front()["trial"].iloc[0])
    curve = study.curve(trial)
    figure = curves_figure(study)
    titles = [figure.layout[f"yaxis{row}"].title.text for row in (3, 4)]
    assert titles == ["angle of layer 1", "angle of layer 2"]
    drawn = [trace for trace in figure.data if trace.name == f"trial {trial}"]
    for trace, name in zip(drawn[2:], ("angle.1", "angle.2"), strict=True):
        assert np.array_equal(trace.y, curve[name])
        assert trace.hovertext[0].endswith(f"{curve[name][0]:.0f}°")
    assert curve["angle.2"].between(0, 120).all()


def test_the_section_explains_angles(study):
    assert "angles between the weights" in curves(study).body
