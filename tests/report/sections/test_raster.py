"""The section on when each neuron died."""

import numpy as np

from hebbevo.report.sections.raster import raster, texts_of
from hebbevo.study.alive_units import AliveUnits
from tests.report.conftest import Document, charts, confirmed


def test_each_confirmed_network_has_a_raster_and_one_is_shown_with_its_text(small) -> None:
    study = confirmed(small)
    body = raster(study).body
    members = study.front(confirmed=True)
    document = Document(body)
    figures = [attributes for tag, attributes in document.elements if tag == "figure"]
    assert len(charts(body)) == len(figures) == sum(tag == "option" for tag, _ in document.elements)
    assert len(figures) == len(members)
    assert sum("hidden" not in attributes for attributes in figures) == 1
    for trial in members.trial:
        assert f"trial {trial}. Layer 1: " in document.text


def test_a_study_without_such_records_has_no_section(small) -> None:
    assert raster(small) is None


def test_the_text_says_how_many_live_when_the_others_died_and_how_many_came_back() -> None:
    alive = np.array([[1, 1, 1, 0, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 1]], bool)
    lives = AliveUnits.of((5,), [np.packbits(epoch).tobytes() for epoch in alive])
    assert texts_of(lives) == [
        "Layer 1: 2 of 5 neurons are alive at the end. Half of the others were dead for good by epoch 2. "
        "1 came back, once or more often."
    ]
    assert texts_of(AliveUnits.of((8,), [b"\xff"])) == ["Layer 1: 8 of 8 neurons are alive at the end."]
