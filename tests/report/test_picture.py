"""The picture of the front: of a confirmed study it shows what holds, on the rows of the verdict."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from hebbevo.report.constraints import survivors_axis
from hebbevo.report.picture import picture
from tests.report.conftest import confirmed, png_size


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def drawn(study, axes, monkeypatch):
    """The places of the marks that the picture of a study has, by their label."""
    monkeypatch.setattr("hebbevo.report.picture.png", lambda draw, **legend: draw(axes))
    picture(study)
    return {each.get_label(): each[0].get_xydata() for each in axes.containers}


@pytest.mark.parametrize(
    ("has_test", "rows", "score"), [(True, "test", "test"), (False, "validation", "confirmed")]
)
def test_members_and_dense_networks_are_drawn_on_the_same_rows(
    small, axes, monkeypatch, has_test, rows, score
) -> None:
    study = confirmed(small, has_test=has_test)
    marks = drawn(study, axes, monkeypatch)
    members = study.front(confirmed=True)
    across = survivors_axis(study).place(members.confirmed_survivors)
    own, dense = marks[f"trained again, on {rows} rows"], marks[f"dense, the same widths, on {rows} rows"]
    assert own[:, 0].tolist() == dense[:, 0].tolist() == across.tolist()
    order = np.argsort(members[f"{score}_accuracy"])
    assert np.argsort(own[:, 1]).tolist() == order.tolist()
    assert (own[:, 1] - dense[:, 1] > 0).tolist() == (
        members[f"{score}_accuracy"] > members.control_accuracy
    ).tolist()
    assert len(marks["front as found, on validation rows"]) == len(study.front())


def test_without_a_confirmation_only_what_was_found_is_drawn(small, axes, monkeypatch) -> None:
    assert set(drawn(small, axes, monkeypatch)) == {"front"}


def test_a_confirmed_study_has_a_picture_of_the_same_size(small) -> None:
    assert png_size(picture(confirmed(small))) == (1600, 1000)
