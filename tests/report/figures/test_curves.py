"""The curves of trainings."""

import numpy as np

from hebbevo.report.figures.curves import angle_columns, curves_figure
from hebbevo.report.sections.curves import curves
from tests.report.conftest import EPOCHS

ANGLES = tuple((90.0 - epoch, 80.0 - 2 * epoch) for epoch in range(EPOCHS))


def test_the_angles_of_every_layer_are_drawn_below_accuracy_and_survivors(small):
    study = small.but(angles=ANGLES)
    assert angle_columns(study) == {"angle.1": "angle of layer 1", "angle.2": "angle of layer 2"}
    trial = int(study.front()["trial"].iloc[0])
    assert study.curve(trial)["angle.2"].tolist() == [angles[1] for angles in ANGLES]
    figure = curves_figure(study)
    titles = [figure.layout[f"yaxis{row}"].title.text for row in (3, 4)]
    assert titles == ["angle of layer 1", "angle of layer 2"]
    drawn = [trace for trace in figure.data if trace.name == f"trial {trial}"]
    assert len(drawn) == 4
    for trace, expected in zip(drawn[2:], np.transpose(ANGLES), strict=True):
        assert np.array_equal(trace.y, expected)
        assert trace.hovertext[0].endswith(f"{expected[0]:.0f}°")
    assert "angles between the weights" in curves(study).body


def test_without_backward_weights_nothing_is_said_of_angles(small):
    assert angle_columns(small) == {}
    assert len(curves_figure(small).data) % 2 == 0
    assert "angle" not in curves(small).body.partition("<div")[0]
